// SPDX-License-Identifier: Apache-2.0
#include "engine/io/paged_content.h"

#include <algorithm>

namespace mica {

const PagedContent::Node* PagedContent::FindNode(uint64_t page_index) const noexcept {
  const auto found = nodes_.find(page_index / kPagesPerNode);
  return found == nodes_.end() ? nullptr : found->second.get();
}

bool PagedContent::IsAllocated(uint64_t page_index) const noexcept {
  const Node* const node = FindNode(page_index);
  return node != nullptr && (node->allocated >> (page_index % kPagesPerNode) & 1) != 0;
}

PagedContent::Node& PagedContent::MutableNode(uint64_t page_index) {
  std::shared_ptr<Node>& node = nodes_[page_index / kPagesPerNode];
  if (node == nullptr) {
    node = std::make_shared<Node>();
  } else if (node.use_count() > 1) {
    node = std::make_shared<Node>(*node);
  }
  return *node;
}

Bytes PagedContent::MutablePage(uint64_t page_index) {
  Node& node = MutableNode(page_index);
  const uint64_t slot = page_index % kPagesPerNode;
  if ((node.allocated >> slot & 1) == 0) {
    node.allocated |= uint64_t{1} << slot;
    ++allocated_pages_;
  }
  std::shared_ptr<Page>& page = node.pages[slot];
  if (page == nullptr) {
    page = std::make_shared<Page>();
  } else if (page.use_count() > 1) {
    page = std::make_shared<Page>(*page);
  }
  return page->bytes;
}

void PagedContent::Read(uint64_t offset, Bytes buffer) const {
  const uint64_t stored = Intersect({offset, buffer.size()}, {0, size_}).length;
  FillZero(buffer.subspan(stored));
  for (uint64_t done = 0; done < stored;) {
    const uint64_t index = (offset + done) / kPageBytes;
    const uint64_t inside = (offset + done) % kPageBytes;
    const uint64_t length = std::min(kPageBytes - inside, stored - done);
    const Bytes part = buffer.subspan(done, length);
    const Node* const node = FindNode(index);
    const Page* const page = node == nullptr ? nullptr : node->pages[index % kPagesPerNode].get();
    if (page == nullptr) {
      FillZero(part);
    } else {
      std::memcpy(part.data(), page->bytes.data() + inside, length);
    }
    done += length;
  }
}

void PagedContent::Write(uint64_t offset, ConstBytes buffer) {
  for (uint64_t done = 0; done < buffer.size();) {
    const uint64_t inside = (offset + done) % kPageBytes;
    const uint64_t length = std::min<uint64_t>(kPageBytes - inside, buffer.size() - done);
    const Bytes page = MutablePage((offset + done) / kPageBytes);
    std::memcpy(page.data() + inside, buffer.data() + done, length);
    done += length;
  }
  size_ = std::max(size_, offset + buffer.size());
}

void PagedContent::ClearPage(uint64_t page_index, bool keep_allocated) {
  if (!keep_allocated && !IsAllocated(page_index)) return;
  Node& node = MutableNode(page_index);
  const uint64_t slot = page_index % kPagesPerNode;
  const uint64_t bit = uint64_t{1} << slot;
  const bool was_allocated = (node.allocated & bit) != 0;
  node.pages[slot].reset();
  if (keep_allocated) {
    node.allocated |= bit;
    if (!was_allocated) ++allocated_pages_;
  } else {
    node.allocated &= ~bit;
    --allocated_pages_;
  }
}

void PagedContent::ZeroInPage(uint64_t page_index, ByteRange inside) {
  const Node* const node = FindNode(page_index);
  if (node == nullptr || node->pages[page_index % kPagesPerNode] == nullptr) return;
  FillZero(MutablePage(page_index).subspan(inside.offset, inside.length));
}

void PagedContent::ZeroEachPage(ByteRange range, bool keep_allocated) {
  for (uint64_t at = range.offset; at < range.end();) {
    const uint64_t index = at / kPageBytes;
    const uint64_t inside = at % kPageBytes;
    const uint64_t length = std::min(kPageBytes - inside, range.end() - at);
    if (length == kPageBytes) {
      ClearPage(index, keep_allocated);
    } else {
      if (keep_allocated && !IsAllocated(index)) ClearPage(index, true);
      ZeroInPage(index, {inside, length});
    }
    at += length;
    // A hole of any size is crossed in one step.
    if (!keep_allocated && FindNode(index) == nullptr) {
      const auto next = nodes_.upper_bound(index / kPagesPerNode);
      if (next == nodes_.end()) return;
      at = std::max(at, next->first * kPagesPerNode * kPageBytes);
    }
  }
}

void PagedContent::Zero(ByteRange range) {
  ZeroEachPage(range, true);
}

void PagedContent::Punch(ByteRange range) {
  ZeroEachPage(range, false);
}

void PagedContent::Reserve(ByteRange range) {
  if (range.empty()) return;
  for (uint64_t index = range.offset / kPageBytes; index <= (range.end() - 1) / kPageBytes;
       ++index) {
    if (!IsAllocated(index)) ClearPage(index, true);
  }
}

void PagedContent::Resize(uint64_t size) {
  if (!nodes_.empty()) {
    const uint64_t last_node = nodes_.rbegin()->first;
    const uint64_t allocated_end = (last_node + 1) * kPagesPerNode * kPageBytes;
    if (size < allocated_end) Punch(RangeBetween(size, allocated_end));
  }
  size_ = size;
}

uint64_t PagedContent::PrefixThatFits(ByteRange range, uint64_t free_pages) const noexcept {
  for (uint64_t at = range.offset; at < range.end();) {
    const uint64_t index = at / kPageBytes;
    if (!IsAllocated(index)) {
      if (free_pages == 0) return at - range.offset;
      --free_pages;
    }
    at = (index + 1) * kPageBytes;
  }
  return range.length;
}

}  // namespace mica
