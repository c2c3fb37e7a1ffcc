// SPDX-License-Identifier: Apache-2.0
// PagedContent: the bytes of one simulated file, sparse and copy-on-write. A copy shares every page
// with its original, so that thousands of power-cut images of one disk cost little more than the
// sectors in which they differ. Not safe across threads, copies included.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "engine/base/bytes.h"
#include "engine/base/range.h"

namespace mica {

class PagedContent {
 public:
  static constexpr uint64_t kPageBytes = 4096;

  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  [[nodiscard]] uint64_t allocated_pages() const noexcept { return allocated_pages_; }

  // Bytes past the end and in holes read as zero.
  void Read(uint64_t offset, Bytes buffer) const;
  // Grows the file when needed.
  void Write(uint64_t offset, ConstBytes buffer);
  // Reads zero afterwards and is allocated. Does not change the size.
  void Zero(ByteRange range);
  // Reads zero afterwards; whole pages lose their allocation. Does not change the size.
  void Punch(ByteRange range);
  // Allocates what is missing; content and size stay.
  void Reserve(ByteRange range);
  // Cuts (what is cut reads zero should the file grow again) or grows with a hole.
  void Resize(uint64_t size);

  // How many bytes at the start of the range can be allocated with `free_pages` more pages; the
  // range's length when all of it fits.
  [[nodiscard]] uint64_t PrefixThatFits(ByteRange range, uint64_t free_pages) const noexcept;

 private:
  static constexpr uint64_t kPagesPerNode = 64;  // one word of `allocated`
  struct Page {
    std::array<std::byte, kPageBytes> bytes;
  };
  // An allocated page without memory holds zeroes.
  struct Node {
    std::array<std::shared_ptr<Page>, kPagesPerNode> pages;
    uint64_t allocated = 0;
  };

  [[nodiscard]] const Node* FindNode(uint64_t page_index) const noexcept;
  [[nodiscard]] bool IsAllocated(uint64_t page_index) const noexcept;
  Node& MutableNode(uint64_t page_index);
  // The page's own memory, unshared and allocated.
  Bytes MutablePage(uint64_t page_index);
  // Makes a whole page read zero, allocated or not.
  void ClearPage(uint64_t page_index, bool keep_allocated);
  void ZeroInPage(uint64_t page_index, ByteRange inside);
  void ZeroEachPage(ByteRange range, bool keep_allocated);

  std::map<uint64_t, std::shared_ptr<Node>> nodes_;
  uint64_t size_ = 0;
  uint64_t allocated_pages_ = 0;
};

}  // namespace mica
