// SPDX-License-Identifier: Apache-2.0
#include "engine/async/frame_pool.h"

#include <array>
#include <new>

namespace mica::internal {

// Address sanitizer must see every frame as its own allocation to catch a use after free.
#if defined(__SANITIZE_ADDRESS__)
void* AllocateFrame(size_t size) {
  return ::operator new(size);
}
void FreeFrame(void* frame, size_t) noexcept {
  ::operator delete(frame);
}
#else

namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kClassCount = 32;        // frames up to 2 KiB are pooled
constexpr size_t kFreePerClassMax = 256;  // a burst does not pin its peak for ever

struct FreeFrameNode {
  FreeFrameNode* next;
};

struct FrameClass {
  FreeFrameNode* head = nullptr;
  size_t count = 0;
};

class FramePool {
 public:
  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    for (FrameClass& frames : classes_) {
      while (frames.head != nullptr) {
        FreeFrameNode* const node = frames.head;
        frames.head = node->next;
        ::operator delete(node);
      }
    }
  }

  void* Allocate(size_t index) {
    FrameClass& frames = classes_[index];
    if (frames.head == nullptr) return ::operator new((index + 1) * kClassBytes);
    FreeFrameNode* const node = frames.head;
    frames.head = node->next;
    --frames.count;
    return node;
  }

  void Free(void* frame, size_t index) noexcept {
    FrameClass& frames = classes_[index];
    if (frames.count == kFreePerClassMax) {
      ::operator delete(frame);
      return;
    }
    frames.head = ::new (frame) FreeFrameNode{frames.head};
    ++frames.count;
  }

 private:
  std::array<FrameClass, kClassCount> classes_;
};

thread_local FramePool frame_pool;

}  // namespace

void* AllocateFrame(size_t size) {
  const size_t index = (size - 1) / kClassBytes;
  return index < kClassCount ? frame_pool.Allocate(index) : ::operator new(size);
}

void FreeFrame(void* frame, size_t size) noexcept {
  const size_t index = (size - 1) / kClassBytes;
  if (index < kClassCount) {
    frame_pool.Free(frame, index);
  } else {
    ::operator delete(frame);
  }
}

#endif

}  // namespace mica::internal
