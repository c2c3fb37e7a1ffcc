// SPDX-License-Identifier: Apache-2.0
// Task<T>: a lazy, move-only coroutine that is started by being awaited, exactly once.
//
// Completion never uses symmetric transfer: g++ turns it into real recursion in unoptimised and
// sanitized builds and overflows the stack. Instead await_suspend starts the child and returns
// false when the child has already finished, so a loop of a million awaits that complete at once
// uses one frame of stack.
//
// House rule for every expression that contains co_await: name it first. g++ 12 miscompiles
// aggregate temporaries, capturing lambdas, ?: and braced arguments in such expressions
// (CONTRIBUTING.md, checked by tests/tidy).
#pragma once

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

#include "engine/async/frame_pool.h"
#include "engine/base/check.h"
#include "engine/base/result.h"

namespace mica {

template <class T>
class Task;

namespace internal {

class TaskPromiseBase {
 public:
  static void* operator new(size_t size) { return AllocateFrame(size); }
  static void operator delete(void* frame, size_t size) noexcept { FreeFrame(frame, size); }

  std::suspend_always initial_suspend() noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> self) noexcept {
      TaskPromiseBase& promise = self.promise();
      promise.finished_ = true;
      // While the awaiting coroutine is still inside its await_suspend it sees finished_ and goes
      // on by itself; resuming it here as well would run it twice.
      if (!promise.starting_) promise.continuation_.resume();
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::abort(); }  // no exceptions across folders

  // Starts the coroutine on behalf of `awaiting`; false when it has finished meanwhile.
  template <class Promise>
  static bool Start(std::coroutine_handle<Promise> self, std::coroutine_handle<> awaiting) {
    TaskPromiseBase& promise = self.promise();
    promise.continuation_ = awaiting;
    promise.starting_ = true;
    self.resume();
    promise.starting_ = false;
    return !promise.finished_;
  }

 private:
  std::coroutine_handle<> continuation_;
  bool starting_ = false;
  bool finished_ = false;
};

template <class T>
class TaskPromise : public TaskPromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  void return_value(T value) { value_.emplace(std::move(value)); }
  T Take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void Take() noexcept {}
};

}  // namespace internal

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { Destroy(); }

  struct Awaiter {
    Handle handle;
    bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) noexcept {
      return promise_type::Start(handle, awaiting);
    }
    T await_resume() { return handle.promise().Take(); }
  };
  // Awaiting an lvalue is allowed (name it first); awaiting twice is a bug.
  Awaiter operator co_await() noexcept { return Awaiter{handle_}; }

 private:
  void Destroy() noexcept {
    if (handle_) handle_.destroy();
  }
  Handle handle_;
};

template <class T>
Task<T> internal::TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}
inline Task<void> internal::TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

// What almost every asynchronous function returns.
template <class T>
using Async = Task<Result<T>>;

}  // namespace mica
