// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_worker.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>

#include "tools/cli/parse.h"
#include "tools/rebase_run/mounter_process.h"
#include "tools/rebase_run/rebase_policy.h"
#include "tools/sandbox/sandbox.h"

namespace mica {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kRoleNames[] = {"build", "predict", "recheck", "prepare"};

// What reading images, building a delta and running e2fsck needs. No sockets, no io_uring, no
// signals to others.
constexpr std::array kWorkerCalls = {
    // files
    "access", "chmod", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3",
    "faccessat", "faccessat2", "fadvise64", "fallocate", "fchmod", "fchown", "fcntl", "fdatasync",
    "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "ioctl", "lseek",
    "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv",
    "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat",
    "readv", "recvmsg", "rename", "renameat", "renameat2", "stat", "statfs", "statx",
    "sync_file_range", "umask", "unlink", "unlinkat", "write", "writev",
    // waiting and asynchronous I/O
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2",
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "pipe2",
    "poll", "ppoll", "timerfd_create", "timerfd_settime",
    // memory, threads, e2fsck
    "arch_prctl", "brk", "clone", "clone3", "execve", "exit", "exit_group", "futex", "getpgrp",
    "getrusage", "gettid", "madvise", "membarrier", "memfd_create", "mincore", "mmap", "mprotect",
    "mremap", "munmap", "rseq", "sched_getaffinity", "sched_yield", "set_robust_list",
    "set_tid_address", "setpgid", "setsid", "tgkill", "vfork", "wait4", "waitid",
    // the rest
    "clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid", "getgid", "getpid",
    "getppid", "getrandom", "getrlimit", "gettimeofday", "getuid", "nanosleep", "prctl",
    "prlimit64", "restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "sysinfo", "time", "times", "uname"};

Json ToJson(const WorkerRequest& request) {
  return {{"role", kRoleNames[static_cast<size_t>(request.role)]},
          {"parent", ::getpid()},
          {"vm", request.vm},
          {"snapshot", request.snapshot},
          {"staged", request.staged},
          {"delta_before", request.delta_before},
          {"onto", request.onto},
          {"policies", request.policies},
          {"fit", request.fit},
          {"rules", request.rules},
          {"delta", request.delta},
          {"work", request.work},
          {"result", request.names.result},
          {"quarantine", request.names.quarantine},
          {"kept", request.names.kept},
          {"rescue_name", request.rescue_name},
          {"rescue_number", request.rescue_number},
          {"skip_check", request.skip_check},
          {"progress", request.progress},
          {"memory_bytes", request.limits.memory_bytes},
          {"seconds", request.limits.seconds},
          {"sandbox", request.limits.sandbox},
          {"mount_volumes", request.limits.mount_volumes}};
}

WorkerRole RoleOf(const std::string& name) {
  const auto* const found = std::ranges::find(kRoleNames, name);
  return static_cast<WorkerRole>(std::min<ptrdiff_t>(found - std::begin(kRoleNames), 3));
}

// From another process of the same program, so it is not questioned; what is no request at all
// comes from a person.
Result<WorkerRequest> FromJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("parent")) {
    return Error{Errc::kInvalidArgument, "workers are started by `mica rebase` and `mica fit`"};
  }
  WorkerRequest request;
  request.role = RoleOf(json.value("role", ""));
  request.vm = json.value("vm", "");
  request.snapshot = json.value("snapshot", "");
  request.staged = json.value("staged", "");
  request.delta_before = json.value("delta_before", "");
  request.onto = json.value("onto", "");
  request.policies = json.value("policies", std::vector<std::string>());
  request.fit = json.value("fit", false);
  request.rules = json.value("rules", std::vector<std::string>());
  request.delta = json.value("delta", "");
  request.work = json.value("work", "");
  request.names = {request.vm, request.onto, json.value("result", ""), json.value("quarantine", ""),
                   json.value("kept", "")};
  request.rescue_name = json.value("rescue_name", "");
  request.rescue_number = json.value("rescue_number", uint64_t{1});
  request.skip_check = json.value("skip_check", false);
  request.progress = json.value("progress", false);
  request.limits.memory_bytes = json.value("memory_bytes", uint64_t{0});
  request.limits.seconds = json.value("seconds", uint64_t{0});
  request.limits.sandbox = json.value("sandbox", true);
  request.limits.mount_volumes = json.value("mount_volumes", std::vector<std::string>());
  TRY(DieWith(json.value("parent", 0)));
  return request;
}

void EndOutOfMemory() {
  constexpr std::string_view kText =
      "mica: the worker process needs more memory than --worker-memory allows\n";
  const ssize_t written = ::write(STDERR_FILENO, kText.data(), kText.size());
  static_cast<void>(written);  // there is nobody else to tell
  ::_exit(static_cast<int>(ExitStatus::kError));
}

Result<void> Confine(const WorkerRequest& request) {
  std::set_new_handler(EndOutOfMemory);
  TRY(SetLimits(
      {.memory_bytes = request.limits.memory_bytes, .cpu_seconds = request.limits.seconds}));
  if (!request.limits.sandbox) return {};
  TRY(ForbidNewPrivileges());
  FileRights rights;
  rights.execute = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};  // e2fsck and its libraries
  rights.write = {"/dev/null"};
  if (request.role == WorkerRole::kBuild) {
    // The right is to the file and stays with it when its name changes. That can happen now: in
    // this order it is found under one of its names.
    if (!request.delta_before.empty()) rights.write.emplace_back(request.delta_before);
    rights.write.emplace_back(request.delta);
  }
  if (!request.work.empty()) rights.write.emplace_back(request.work);
  TRY(AllowOnlyFiles(rights));
  TRY(DropCapabilities());
  return AllowOnlyCalls(kWorkerCalls);
}

// kCancelled when the process that would say it has gone.
Result<void> WaitForVm() {
  char word = 0;
  ssize_t got = 0;
  do {
    got = ::read(STDIN_FILENO, &word, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return {};
  return Error{Errc::kCancelled, "the rebase has ended"};
}

Result<ExitStatus> Build(Context& context, const WorkerRequest& request,
                         const rebase::JobInput& input) {
  rebase::BuildOptions build;
  build.delta = request.delta;
  build.work = request.work;
  build.rescue_name = request.rescue_name;
  build.rescue_number = request.rescue_number;
  if (request.skip_check) build.check = rebase::FileSystemCheck::kSkip;
  Progress progress(request.progress ? ProgressMode::kShown : ProgressMode::kOnSignal, "rebase",
                    ProgressTotals{});
  build.progress = [&progress](const guest::ApplyProgress& done) {
    progress.SetGoal({.bytes = done.bytes_total, .files = done.objects_total});
    progress.Update({.bytes = done.bytes_done, .files = done.objects_done});
  };
  if (!request.staged.empty()) build.staged = request.staged;
  if (!request.delta_before.empty()) build.wait_for_vm = WaitForVm;
  const Result<rebase::JobOutcome> built = rebase::BuildRebase(context.host, input, build);
  if (!built && build.staged) {
    // Whatever is wrong with the VM itself shows again without it.
    context.output.Text("misfit " + built.error().message);
    return ExitStatus::kDone;
  }
  if (!built) return built.error();
  const rebase::JobOutcome& outcome = *built;
  TRY(WriteDurably(build.work / "report.jsonl", OutcomeJson(outcome, request.names)));
  TRY(WriteDurably(build.work / "report.txt", OutcomeText(outcome, request.names)));
  const std::string_view good = outcome.quarantined() ? "quarantine" : "good";
  context.output.Text(outcome.blocked() ? "blocked" : good);
  return StatusOf(outcome.report);
}

Result<ExitStatus> Predict(Context& context, const WorkerRequest& request,
                           const rebase::JobInput& input) {
  ASSIGN(const rebase::JobOutcome outcome, rebase::PredictRebase(context.host, input));
  context.output.Text(OutcomeJson(outcome, request.names));
  context.output.Text(std::string_view("\0", 1));
  context.output.Text(OutcomeText(outcome, request.names));
  return StatusOf(outcome.report);
}

Result<ExitStatus> Recheck(Context& context, const WorkerRequest& request,
                           const rebase::JobInput& input) {
  ASSIGN(const rebase::RecheckOutcome outcome,
         rebase::RecheckRebase(context.host, input, request.delta, request.work));
  context.output.Text(OutcomeJson(outcome.planned, request.names));
  context.output.Text(std::string_view("\0", 1));
  const Json found = {
      {"digest", fmt::format("{:02x}", fmt::join(outcome.planned.proof.after->digest, ""))},
      {"differences", outcome.differences}};
  context.output.Text(found.dump(-1, ' ', false, Json::error_handler_t::replace));
  return ExitStatus::kDone;
}

Result<ExitStatus> Prepare(Context& context, const WorkerRequest& request) {
  const std::filesystem::path work = request.work;
  const rebase::CacheFolders folders{work / "base", work / "target"};
  for (const std::filesystem::path& folder : {folders.base, folders.target}) {
    std::error_code failed;
    std::filesystem::create_directory(folder, failed);
    if (failed) return ErrnoError(failed.value(), "create directory " + folder.string());
  }
  TRY(rebase::PrepareMasters(context.host, request.vm, request.onto, folders));
  return ExitStatus::kDone;
}

Result<ExitStatus> Work(Context& context, const WorkerRequest& request) {
  std::unique_ptr<MounterProcess> mounter;
  rebase::KernelVolumes kernel;
  ASSIGN(kernel.kinds, ParseMountKinds(request.limits.mount_volumes));
  if (!kernel.kinds.empty() && request.role != WorkerRole::kPrepare) {
    ASSIGN(mounter, MounterProcess::Start(context.loop, request.limits.sandbox));
    kernel.mounter = &mounter->mounter();
  }
  TRY(Confine(request));
  if (request.role == WorkerRole::kPrepare) return Prepare(context, request);
  rebase::JobInput input;
  input.kernel = kernel;
  input.vm = request.vm;
  if (!request.snapshot.empty()) input.snapshot = request.snapshot;
  input.target = request.onto;
  ASSIGN(input.policy, LoadPolicy(request.policies));
  ASSIGN(input.policy_digest, PolicyDigest(request.policies));
  if (request.fit) {
    ASSIGN(input.fit_rules, LoadFitRules(request.rules));
  }
  if (request.role == WorkerRole::kRecheck) return Recheck(context, request, input);
  return request.role == WorkerRole::kBuild ? Build(context, request, input)
                                            : Predict(context, request, input);
}

}  // namespace

void AddWorkerOptions(CLI::App& command, WorkerLimits& limits) {
  constexpr const char* kGroup = "The worker process, which alone reads what the guest wrote";
  const auto take_memory = [&limits](const std::string& text) {
    const Result<uint64_t> size = ParseSize(text);
    if (!size) throw CLI::ValidationError("--worker-memory", size.error().message);
    limits.memory_bytes = *size;
  };
  command
      .add_option_function<std::string>("--worker-memory", take_memory,
                                        "0: no limit; 4G by default")
      ->type_name("SIZE")
      ->group(kGroup);
  command.add_option("--worker-time", limits.seconds, "0: no limit; 3600 by default")
      ->type_name("SECONDS")
      ->group(kGroup);
  command
      .add_option("--mount-volumes", limits.mount_volumes,
                  "xfs, btrfs or both: let the host's kernel mount such volumes of the guest, to "
                  "merge them file by file; needs root, and is a weaker isolation: a file system "
                  "made to attack a kernel attacks this one's")
      ->type_name("KIND,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      .add_flag_callback(
          "--no-sandbox", [&limits] { limits.sandbox = false; },
          "Limits only: for kernels that refuse seccomp")
      ->group(kGroup);
}

Result<ExitStatus> RunWorker(Context& context, std::string_view text) {
  ASSIGN(const WorkerRequest request, FromJson(text));
  const Result<ExitStatus> ended = Work(context, request);
  if (ended) return *ended;
  const std::string& what = ended.error().message;
  const bool named = what.find(request.vm) != std::string::npos;
  PrintError(named ? what : fmt::format("{}: {}", request.vm, what));
  return ExitStatusOf(ended.error());
}

SelfProcessRequest WorkerProcess(const WorkerRequest& request, IoEngineKind io) {
  SelfProcessRequest process;
  process.arguments = {"worker", io == IoEngineKind::kAio ? "--io=aio" : "--io=blocking"};
  process.input = ToJson(request).dump(-1, ' ', false, Json::error_handler_t::replace);
  process.keep_input = !request.delta_before.empty();
  // What cannot be prepared shows again, and is said then.
  process.own_stderr = request.role == WorkerRole::kPrepare;
  process.output_bytes_max = size_t{1} << 30;
  return process;
}

std::chrono::steady_clock::time_point DeadlineOf(const WorkerLimits& limits) {
  constexpr uint64_t kForever = uint64_t{10} * 365 * 86400;
  const uint64_t seconds = limits.seconds == 0 ? kForever : std::min(limits.seconds, kForever);
  return std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
}

Result<void> CheckEnd(const ProcessEnd& end, const WorkerRequest& request) {
  const std::string misfortune = end.Misfortune();
  if (misfortune.empty()) return {};
  return Error{Errc::kIo,
               fmt::format("{}: the worker process {}; the VM is as it was. A damaged or hostile "
                           "file system can do that; mica cat and ls on the VM, or --worker-memory "
                           "and --worker-time with more, may tell",
                           request.vm, misfortune)};
}

}  // namespace mica
