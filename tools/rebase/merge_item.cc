// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/merge_item.h"

namespace mica::rebase {

void MergeItem::Note(Action action, Severity severity, std::string_view detail) {
  noted = true;
  entry.action = action;
  Raise(severity, detail);
}

void MergeItem::Raise(Severity severity, std::string_view detail) {
  Tell(entry, severity, detail);
}

void MergeItem::SaveLoser(MergeScene& scene, Side loser) {
  const std::optional<View>& view = node.Of(loser).view;
  if (!view || view->object.kind == guest::ObjectKind::kDirectory) return;
  switch (decision.save()) {
    case SaveLoser::kNone:
      break;
    case SaveLoser::kBeside:
      node.result.beside = loser;
      break;
    case SaveLoser::kRescue:
      entry.rescue = scene.out.rescues.size();
      scene.out.rescues.push_back({loser, view->object.id.inode,
                                   view->names.empty() ? entry.path : view->names.front().path});
      break;
  }
}

FileRef MergeItem::File(const MergeScene& scene, Version version) const {
  const View& view = version == Version::kBase   ? *node.base
                     : version == Version::kOurs ? *node.ours().view
                                                 : *node.theirs().view;
  return {&scene.graph.volume(version), view.object.id.inode};
}

}  // namespace mica::rebase
