// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/planner.h"

#include <fmt/format.h>

#include "tools/rebase/coverage.h"
#include "tools/rebase/decide.h"
#include "tools/rebase/emit.h"
#include "tools/rebase/link_groups.h"
#include "tools/rebase/merge_attributes.h"
#include "tools/rebase/package_report.h"
#include "tools/rebase/pairing.h"
#include "tools/rebase/settle.h"
#include "tools/rebase/xattr_limit.h"

namespace mica::rebase {
namespace {

constexpr uint64_t kAccountsSizeMax = uint64_t{64} << 20;

Result<std::string> ReadAccounts(guest::Volume& volume, std::string_view path) {
  ASSIGN(const auto inode, guest::LookupPath(volume, path));
  if (!inode) return std::string();
  ASSIGN(const guest::Object object, volume.Stat(*inode));
  if (object.kind != guest::ObjectKind::kRegular) return std::string();
  return guest::ReadWhole(volume, *inode, kAccountsSizeMax);
}

Result<AccountTexts> ReadAccountTexts(guest::Volume& volume) {
  AccountTexts texts;
  ASSIGN(texts.passwd, ReadAccounts(volume, "/etc/passwd"));
  ASSIGN(texts.group, ReadAccounts(volume, "/etc/group"));
  return texts;
}

Result<IdMapping> FindIds(const PlanInput& input) {
  ASSIGN(const AccountTexts base, ReadAccountTexts(input.base_volume));
  ASSIGN(const AccountTexts ours, ReadAccountTexts(input.our_volume));
  ASSIGN(const AccountTexts theirs, ReadAccountTexts(input.their_volume));
  return MapIds(base, ours, theirs);
}

void ReportIds(const IdMapping& mapping, Report& report) {
  for (const IdCollision& collision : mapping.collisions) {
    const bool user = collision.kind == IdCollision::Kind::kUser;
    ReportEntry entry;
    entry.topic = Topic::kAccount;
    entry.path = collision.name;
    entry.action = collision.resolved() ? Action::kRenumbered : Action::kBroken;
    entry.severity = collision.resolved() ? Severity::kNotice : Severity::kError;
    entry.detail = collision.resolved()
                       ? fmt::format("{} {} is {} in the new master; the VM's gets {}",
                                     user ? "user" : "group", collision.id, collision.against,
                                     collision.new_id)
                       : fmt::format("{} {} collides with {} of the new master; not renumbered",
                                     user ? "user" : "group", collision.id, collision.against);
    report.Add(std::move(entry));
  }
}

void RenumberAll(Graph& graph, const IdMap& ids) {
  for (Node& node : graph.nodes()) {
    SideState& ours = node.ours();
    if (!node.listed || !ours.listed || !ours.view) continue;
    RenumberOwners(ours.view->object.attributes,
                   node.base ? &node.base->object.attributes : nullptr, ids);
  }
}

Result<GuestFacts> FindFacts(const PlanInput& input, Graph& graph) {
  if (input.guest != nullptr) return FactsBelow(*input.guest, input.mount_point);
  GuestFacts facts;
  ASSIGN(facts.packages,
         FindPackageUnits({input.base_volume, input.our_volume, input.their_volume}, input.policy));
  ASSIGN(facts.link_groups, FindLinkGroups(graph));
  return facts;
}

}  // namespace

Result<PlanOutcome> MakePlan(const PlanInput& input) {
  PlanOutcome outcome;
  Graph graph(input);
  TRY(graph.Load());
  TRY(PairByName(graph));
  TRY(graph.Finish());
  if (input.renumbered != nullptr) {
    outcome.ids = *input.renumbered;
  } else {
    ASSIGN(const IdMapping ids, FindIds(input));
    ReportIds(ids, outcome.report);
    outcome.ids = ids.map;
  }
  RenumberAll(graph, outcome.ids);
  ASSIGN(const GuestFacts facts, FindFacts(input, graph));
  MergeScene scene = {graph, facts.packages, facts.link_groups, outcome.ids, outcome};
  for (NodeIndex index = 0; index < graph.nodes().size(); ++index) TRY(DecideNode(scene, index));
  TRY(SettleTree(scene));
  LimitXattrs(scene);
  TRY(ReportPackages(scene));
  ASSIGN(outcome.plan, EmitPlan(graph));
  TRY(CheckCoverage(input, outcome));
  return outcome;
}

}  // namespace mica::rebase
