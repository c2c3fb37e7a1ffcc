// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/fleet_run.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "formats/identity_text.h"
#include "tools/cli/layer_view.h"
#include "tools/cli/output_text.h"
#include "tools/rebase/fleet/fleet_report.h"
#include "tools/rebase/job/rebase_work.h"
#include "tools/rebase_run/confirm_run.h"
#include "tools/rebase_run/process_pool.h"
#include "tools/rebase_run/report_tail.h"

namespace mica {

namespace {

using rebase::Journal;
using rebase::Schedule;
using rebase::VmRow;
using rebase::VmState;
using std::filesystem::path;
using Clock = std::chrono::steady_clock;

constexpr size_t kMessageBytesMax = 2000;

// SIGINT, SIGTERM and SIGHUP as something to poll.
class StopRequests {
 public:
  static Result<StopRequests> Install() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
    if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return ErrnoError(errno, "block signals");
    UniqueFd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!fd) return ErrnoError(errno, "signalfd");
    return StopRequests(std::move(fd));
  }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // How many have come since the last call.
  [[nodiscard]] size_t Take() const {
    signalfd_siginfo info{};
    size_t count = 0;
    while (::read(fd_.get(), &info, sizeof info) == sizeof info) ++count;
    return count;
  }

 private:
  explicit StopRequests(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string LastPart(const std::string& text) {
  std::string_view part = text;
  while (part.ends_with('\n')) part.remove_suffix(1);
  if (part.size() > kMessageBytesMax) part.remove_prefix(part.size() - kMessageBytesMax);
  return std::string(part);
}

// What the summary of a VM's report says of the VM.
VmState StateOf(const nlohmann::json& summary) {
  if (!summary.is_object()) return VmState::kFailed;
  const std::string verdict = summary.value("verdict", "");
  if (verdict == "blocked") return VmState::kBlocked;
  if (summary.contains("quarantined")) return VmState::kQuarantined;
  return verdict == "clean" ? VmState::kSwitched : VmState::kConflicts;
}

class FleetRun {
 public:
  FleetRun(Context& context, const FleetRequest& request, Journal journal, LayerInfo target)
      : context_(context),
        request_(request),
        journal_(std::move(journal)),
        target_(std::move(target)),
        schedule_(request.schedule, PlanVms()) {}

  Result<ExitStatus> Run() {
    ASSIGN(const StopRequests stop, StopRequests::Install());
    TRY(PrepareForAll(context_, request_.vms, request_.each, request_.job));
    while (!schedule_.finished()) {
      TRY(StartSome());
      if (schedule_.finished()) break;
      for (const ProcessPool::Ended& ended : pool_.Wait(stop.fd())) TRY(Ended(ended));
      Obey(stop);
    }
    return Report();
  }

 private:
  std::vector<size_t> PlanVms();
  Result<void> StartSome();
  Result<bool> AlreadyThere(size_t vm);
  Result<void> Start(size_t vm);
  void Obey(const StopRequests& stop);
  Result<void> Ended(const ProcessPool::Ended& vm);
  Result<void> Settle(size_t vm, VmRow row);
  void Tell(const VmRow& row);
  ConfirmTotals CleanUp();
  Result<ExitStatus> Report();
  [[nodiscard]] std::vector<VmRow> Rows();
  [[nodiscard]] bool StandsOnTarget(const std::string& vm);

  Context& context_;
  const FleetRequest& request_;
  Journal journal_;
  LayerInfo target_;
  Schedule schedule_;
  ProcessPool pool_;
  size_t settled_ = 0;
  size_t planned_ = 0;
  size_t stop_requests_ = 0;
  Clock::time_point started_ = Clock::now();
};

// Everything that is not settled by an earlier run; with --retry also what did not stay so.
std::vector<size_t> FleetRun::PlanVms() {
  std::vector<size_t> vms;
  for (const std::string& vm : request_.vms) {
    const size_t index = journal_.IndexOf(vm);
    const VmState state = journal_.rows()[index].state;
    bool left = !rebase::IsDone(state) && !rebase::IsBad(state);
    if (request_.retry_bad) left = !rebase::IsDone(state) || !StandsOnTarget(vm);  // rolled back
    if (left) vms.push_back(index);
  }
  planned_ = vms.size();
  return vms;
}

// The image's own header says what it stands on; the guest has no say in it.
bool FleetRun::StandsOnTarget(const std::string& vm) {
  const Result<LayerView> view =
      SyncWait(context_.loop, ViewLayer(context_.host, vm, std::nullopt, LayerDetail::kBasic));
  return view && view->info.parent && view->info.parent->identity &&
         view->info.parent->identity == target_.identity;
}

Result<void> FleetRun::StartSome() {
  while (pool_.size() < request_.workers) {
    const std::optional<size_t> vm = schedule_.Next();
    if (!vm) return {};
    ASSIGN(const bool there, AlreadyThere(*vm));
    if (!there) TRY(Start(*vm));
  }
  return {};
}

// A VM that was switched by a run that could not write it down any more, or by somebody else.
Result<bool> FleetRun::AlreadyThere(size_t vm) {
  VmRow row = journal_.rows()[vm];
  if (!StandsOnTarget(row.vm)) return false;
  row.state = VmState::kAlready;
  // Killed after the switch, its rebase has left its room behind; whoever opens that clears it.
  static_cast<void>(rebase::RebaseWork::Open(context_.host, row.vm));
  row.message.clear();
  row.summary = SummaryOfReport(row.vm + ".report.jsonl");
  const std::string uuid =
      row.summary.is_object()
          ? row.summary.value(nlohmann::json::json_pointer("/onto_identity/uuid"), "")
          : std::string();
  if (target_.identity && uuid == UuidText(target_.identity->uuid)) {
    const VmState reported = StateOf(row.summary);
    if (rebase::IsDone(reported)) row.state = reported;
  }
  if (row.state == VmState::kAlready) row.summary = nullptr;
  TRY(Settle(vm, std::move(row)));
  return true;
}

Result<void> FleetRun::Start(size_t vm) {
  VmRow row = journal_.rows()[vm];
  row.state = VmState::kRunning;
  ++row.attempts;
  row.message.clear();
  row.summary = nullptr;
  TRY(journal_.Put(vm, row));
  SelfProcessRequest process;
  process.own_stderr = true;
  process.arguments = RebaseArguments(request_.each);
  std::vector<std::string>& words = process.arguments;
  words.insert(words.end(), {"--", row.vm});
  ASSIGN(SelfProcess started, SelfProcess::Start(process));
  pool_.Add(vm, std::move(started), std::nullopt);
  return {};
}

void FleetRun::Obey(const StopRequests& stop) {
  stop_requests_ += stop.Take();
  if (stop_requests_ == 0) return;
  schedule_.Halt("it was asked to");
  if (stop_requests_ > 1) pool_.KillAll();
}

Result<void> FleetRun::Ended(const ProcessPool::Ended& vm) {
  const ProcessEnd& end = vm.end;
  VmRow row = journal_.rows()[vm.key];
  row.seconds = vm.seconds;
  row.message = LastPart(vm.errors);
  row.summary = SummaryOfLine(vm.output);
  if (end.signal != 0 && stop_requests_ > 1) {
    row.state = VmState::kPending;  // killed by us
  } else if (end.signal != 0) {
    row.state = VmState::kFailed;
    row.message = fmt::format("mica rebase {}", end.Misfortune());
  } else if (static_cast<ExitStatus>(end.exit_status) == ExitStatus::kBusy) {
    row.state = VmState::kBusy;
  } else {
    row.state = StateOf(row.summary);
    if (row.state != VmState::kFailed) row.message.clear();
  }
  return Settle(vm.key, std::move(row));
}

Result<void> FleetRun::Settle(size_t vm, VmRow row) {
  TRY(journal_.Put(vm, std::move(row)));
  const VmRow& written = journal_.rows()[vm];
  ++settled_;
  Tell(written);
  schedule_.Ended(vm, written.state, written.attempts);
  return {};
}

void FleetRun::Tell(const VmRow& row) {
  if (context_.output.json()) {
    context_.output.Record(
        {{"event", "vm"}, {"row", ToJson(row)}, {"wave", schedule_.wave_number()}});
    static_cast<void>(context_.output.Flush());  // a reader that is gone shows at the end
    return;
  }
  context_.output.Note(fmt::format("{} of {}: {}: {}, {:.1f} s{}{}", settled_, planned_, row.vm,
                                   VmStateName(row.state), row.seconds,
                                   row.message.empty() ? "" : ": ", row.message));
}

// In the order of the list.
std::vector<VmRow> FleetRun::Rows() {
  std::vector<VmRow> rows;
  for (const std::string& vm : request_.vms) rows.push_back(journal_.rows()[journal_.IndexOf(vm)]);
  return rows;
}

// Of all VMs that are on the new master, also since an earlier run.
ConfirmTotals FleetRun::CleanUp() {
  std::vector<std::string> vms;
  for (const VmRow& row : Rows()) {
    if (rebase::IsDone(row.state)) vms.push_back(row.vm);
  }
  rebase::ConfirmOptions options;
  options.older_than = request_.keep;
  return ConfirmAll(context_, vms, options, ConfirmTalk::kComplaints);
}

ExitStatus StatusOfFleet(const nlohmann::json& states, bool halted) {
  const auto any = [&states](std::initializer_list<VmState> which) {
    return std::ranges::any_of(which, [&states](VmState state) {
      return states.contains(std::string(VmStateName(state)));
    });
  };
  if (halted || any({VmState::kFailed, VmState::kBlocked})) return ExitStatus::kError;
  if (any({VmState::kConflicts, VmState::kQuarantined})) return ExitStatus::kConflicts;
  return any({VmState::kBusy}) ? ExitStatus::kBusy : ExitStatus::kDone;
}

Result<ExitStatus> FleetRun::Report() {
  rebase::FleetFacts facts;
  facts.onto = request_.each.onto;
  facts.onto_identity = IdentityText(target_.identity);
  facts.seconds = SecondsSince(started_);
  facts.stopped = schedule_.halted().empty() ? schedule_.paused() : schedule_.halted();
  nlohmann::json report = rebase::FleetReport(facts, Rows());
  if (request_.keep) {
    const ConfirmTotals removed = CleanUp();
    report["kept_removed"] = {{"deltas", removed.dropped}, {"bytes", removed.bytes}};
    context_.output.Note(
        fmt::format("{} kept deltas removed, {}", removed.dropped, FormatBytes(removed.bytes)));
  }
  const auto replace = nlohmann::json::error_handler_t::replace;
  TRY(WriteDurably(request_.job / "report.json", report.dump(1, ' ', false, replace) + "\n"));
  TRY(WriteDurably(request_.job / "report.html", rebase::FleetPage(report)));
  nlohmann::json summary = report;
  summary.erase("vms");
  summary["report"] = (request_.job / "report.json").string();
  if (context_.output.json()) {
    context_.output.Record({{"summary", std::move(summary)}});
  } else {
    std::string text;
    for (const auto& [state, count] : report["states"].items()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count.get<uint64_t>(), state);
    }
    if (!facts.stopped.empty()) text += "; stopped: " + facts.stopped;
    context_.output.Text(
        fmt::format("{}\nreport: {}\n", text, (request_.job / "report.html").string()));
  }
  return StatusOfFleet(report["states"], !schedule_.halted().empty());
}

}  // namespace

Result<ExitStatus> RunFleet(Context& context, const FleetRequest& request) {
  ASSIGN(const LayerView target,
         SyncWait(context.loop,
                  ViewLayer(context.host, request.each.onto, std::nullopt, LayerDetail::kBasic)));
  if (!target.info.sealed || !target.info.identity) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected a sealed master, found an image that can still change; "
                             "seal it first: mica seal {}",
                             request.each.onto, request.each.onto)};
  }
  const rebase::JobIdentity identity{request.each.onto, IdentityText(target.info.identity)};
  ASSIGN(Journal journal, Journal::Open(request.job, identity));
  FleetRun run(context, request, std::move(journal), target.info);
  return run.Run();
}

}  // namespace mica
