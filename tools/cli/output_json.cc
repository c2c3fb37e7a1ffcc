// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/output_json.h"

#include <nlohmann/json.hpp>

#include "formats/identity_text.h"
#include "tools/cli/output_text.h"

namespace mica {

nlohmann::json ToJson(const LayerIdentity& identity) {
  return {{"uuid", UuidText(identity.uuid)},
          {"digest", FormatHex(identity.digest)},
          {"virtual-size", identity.virtual_size}};
}

nlohmann::json ToJson(const SnapshotInfo& snapshot) {
  return {{"id", std::to_string(snapshot.id)},
          {"name", snapshot.name},
          {"date-sec", snapshot.created},
          {"virtual-size", snapshot.virtual_size},
          {"epoch", snapshot.epoch}};
}

nlohmann::json ToJson(const LayerView& view) {
  nlohmann::json json{{"filename", view.info.path},
                      {"format", view.info.format},
                      {"virtual-size", view.info.virtual_size},
                      {"actual-size", view.allocated_bytes},
                      {"file-size", view.file_bytes},
                      {"cluster-size", view.info.cluster_bytes},
                      {"checksums", view.info.digest_block_bytes != 0},
                      {"sealed", view.info.sealed},
                      {"in-use", view.in_use}};
  if (view.info.compression) {
    const CompressionInfo& compression = *view.info.compression;
    json["compression"] = {{"codec", compression.codec},
                           {"level", compression.level},
                           {"chunk-size", compression.chunk_bytes},
                           {"content-bytes", compression.content_bytes},
                           {"stored-bytes", compression.stored_bytes}};
  }
  if (view.snapshot) json["snapshot"] = *view.snapshot;
  if (view.epoch) {
    json["epoch"] = *view.epoch;
    json["snapshots"] = nlohmann::json::array();
    for (const SnapshotInfo& snapshot : view.snapshots) {
      json["snapshots"].push_back(ToJson(snapshot));
    }
  }
  if (view.quota) {
    json["quota"] = {{"hard", view.quota->hard_bytes}, {"soft", view.quota->soft_bytes}};
  }
  if (view.usage) {
    json["space"] = {{"own", view.usage->own_bytes},
                     {"snapshots", view.usage->snapshot_bytes},
                     {"metadata", view.usage->metadata_bytes},
                     {"reclaimable", view.reclaimable_bytes()}};
    if (view.shared_bytes) json["space"]["shared"] = *view.shared_bytes;
  }
  if (view.info.identity) json["identity"] = ToJson(*view.info.identity);
  if (view.info.parent) {
    nlohmann::json parent{{"path", view.info.parent->path},
                          {"resolved-path", view.parent_path->native()},
                          {"format", view.info.parent->format}};
    if (view.info.parent->identity) parent["identity"] = ToJson(*view.info.parent->identity);
    json["parent"] = std::move(parent);
  }
  return json;
}

}  // namespace mica
