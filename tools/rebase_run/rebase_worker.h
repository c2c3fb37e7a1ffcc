// SPDX-License-Identifier: Apache-2.0
// The worker process of a rebase: the only part that reads what guests wrote. It is confined before
// it opens anything: no system calls but those of file work (so no network), no file written but
// those it was given, bounds on memory and processor time, and it ends with whoever started it.
//
// It is told what to do by a record of JSON on its stdin, a socket, and answers with its exit
// status, with files in its work folder, and with text on stdout. `mica worker` is not for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/verb.h"
#include "tools/rebase_run/rebase_output.h"
#include "tools/rebase_run/self_process.h"

namespace mica {

inline constexpr std::string_view kVmIsOff = "!";

enum class WorkerRole : uint8_t {
  kBuild,    // rebase vm onto `onto` into `delta`; stdout: "good", "quarantine" or "blocked", or
             // "misfit" when `staged` cannot be caught up, and then why
  kPredict,  // stdout: the report as JSON lines, a zero byte, and what people read
  kRecheck,  // is `delta` what a rebase of `vm` gives? stdout: the report of one as JSON lines, a
             // zero byte, and {"digest", "differences"}
  kPrepare,  // what all VMs of two masters share goes to work/base and work/target
};

struct WorkerLimits {
  uint64_t memory_bytes = uint64_t{4} << 30;
  uint64_t seconds = 3600;                 // by the clock; as much of processor time
  bool sandbox = true;                     // else only the limits
  std::vector<std::string> mount_volumes;  // file systems that the host's kernel may mount
};

struct WorkerRequest {
  WorkerRole role = WorkerRole::kBuild;
  std::string vm;        // kPrepare: the old master
  std::string snapshot;  // of the VM; empty: as it is
  std::string staged;    // kBuild: `delta` was built from this snapshot; empty: it is empty
  // kBuild: the name of `delta` until the VM is off. The worker then does what can be done before,
  // and waits for kVmIsOff on its stdin. Empty: it is off.
  std::string delta_before;
  std::string onto;
  std::vector<std::string> policies;
  bool fit = false;  // kPredict: with the built-in fit rules and those in `rules`
  std::vector<std::string> rules;
  std::string delta;
  std::string work;  // empty: nothing is written
  RebaseNames names;
  std::string rescue_name;
  uint64_t rescue_number = 1;
  bool skip_check = false;
  bool progress = false;
  WorkerLimits limits;
};

// --worker-memory, --worker-time, --no-sandbox, --mount-volumes.
void AddWorkerOptions(CLI::App& command, WorkerLimits& limits);

// The verb that starts as a worker. Declared here, as it is not for people.
Verb AddWorker(CLI::App& program);

// The worker's side: confines the process and does it. Prints its errors itself.
Result<ExitStatus> RunWorker(Context& context, std::string_view request);

// The other side. `io` as on the command line; io_uring is not for workers, as it could reach the
// network past the filter.
// A worker that waits has its stdin kept.
SelfProcessRequest WorkerProcess(const WorkerRequest& request, IoEngineKind io);
// When the worker has to be done.
std::chrono::steady_clock::time_point DeadlineOf(const WorkerLimits& limits);
// kIo, naming the VM, for a worker that did not exit by itself.
Result<void> CheckEnd(const ProcessEnd& end, const WorkerRequest& request);

}  // namespace mica
