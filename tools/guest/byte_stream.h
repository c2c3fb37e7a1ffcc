// SPDX-License-Identifier: Apache-2.0
// Values appended to bytes and taken back in the same order, little-endian. The reader never goes
// past the end: what is missing reads as zero or empty, and ok() tells.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"

namespace mica::guest {

class ByteWriter {
 public:
  void Reserve(size_t bytes) { bytes_.reserve(bytes); }
  template <std::unsigned_integral T>
  void Put(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof value);
    StoreLe<T>(bytes_, at, value);
  }
  // Length (u32) and bytes.
  void PutText(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    PutBytes(AsBytes(text));
  }
  void PutBytes(ConstBytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  [[nodiscard]] std::vector<std::byte>& bytes() noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(ConstBytes bytes) : bytes_(bytes) {}

  template <std::unsigned_integral T>
  T Take() {
    if (!Has(sizeof(T))) return 0;
    const T value = LoadLe<T>(bytes_, 0);
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  // What PutText has put.
  std::string TakeText() { return TakeText(Take<uint32_t>()); }
  std::string TakeText(size_t length) {
    if (!Has(length)) return {};
    std::string text(AsText(bytes_.first(length)));
    bytes_ = bytes_.subspan(length);
    return text;
  }
  // A count of things of at least `bytes_each`, so that a hostile one allocates nothing.
  size_t TakeCount(size_t bytes_each) {
    const auto count = Take<uint64_t>();
    if (count <= bytes_.size() / bytes_each) return static_cast<size_t>(count);
    ok_ = false;
    return 0;
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] bool at_end() const noexcept { return ok_ && bytes_.empty(); }

 private:
  bool Has(size_t length) {
    if (length <= bytes_.size()) return ok_;
    ok_ = false;
    bytes_ = {};
    return false;
  }

  ConstBytes bytes_;
  bool ok_ = true;
};

}  // namespace mica::guest
