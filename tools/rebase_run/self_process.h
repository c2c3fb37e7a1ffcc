// SPDX-License-Identifier: Apache-2.0
// Another process of this program: for work that may fail, hang or be attacked without harm to
// others. It has a process group of its own, no environment to speak of, and of our descriptors
// only what is given here.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica {

struct SelfProcessRequest {
  std::vector<std::string> arguments;         // after the program's name
  std::string input;                          // its stdin, one record; at most 32 KiB
  bool keep_input = false;                    // more can follow on its stdin, by Send
  bool own_stderr = false;                    // else it talks to ours
  size_t output_bytes_max = size_t{1} << 20;  // of each stream; the rest is read and dropped
};

struct ProcessEnd {
  int exit_status = 0;
  int signal = 0;  // that ended it; 0: it exited by itself
  bool timed_out = false;
  double peak_memory_mib = 0;

  // "ended by signal 9 (Killed)", "took longer than it may"; empty after an exit by itself.
  [[nodiscard]] std::string Misfortune() const;
};

class SelfProcess {
 public:
  static Result<SelfProcess> Start(const SelfProcessRequest& request);
  SelfProcess(SelfProcess&& other) noexcept;
  SelfProcess& operator=(SelfProcess&&) = delete;
  // Kills it when it has not been waited for.
  ~SelfProcess();

  // A record to its stdin, if that was kept. One that has ended does not read it, which is no
  // error: how it ended tells. Does not block as long as it is a few bytes.
  void Send(std::string_view bytes) noexcept;

  // Readable or closed when there is something to do; -1 when closed.
  [[nodiscard]] int output_fd() const noexcept { return out_.fd.get(); }
  [[nodiscard]] int error_fd() const noexcept { return err_.fd.get(); }
  // Reads what is there without waiting; false when the process has closed both.
  bool Pump();
  [[nodiscard]] const std::string& output() const noexcept { return out_.text; }
  [[nodiscard]] const std::string& errors() const noexcept { return err_.text; }

  void Kill() noexcept;
  // Blocks until it has ended. Call when Pump is false or after Kill.
  ProcessEnd Reap();
  // All of it: reads to the end, kills at the deadline (empty: none).
  ProcessEnd Run(std::optional<std::chrono::steady_clock::time_point> deadline);

 private:
  struct Stream {
    UniqueFd fd;
    std::string text;
  };

  SelfProcess(int pid, UniqueFd in, Stream out, Stream err, size_t output_bytes_max);
  void Drain(Stream& stream) const;

  int pid_ = 0;
  UniqueFd in_;
  Stream out_;
  Stream err_;
  size_t output_bytes_max_;
};

}  // namespace mica
