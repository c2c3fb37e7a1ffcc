// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "engine/chain_index.h"
#include "engine/io/host.h"
#include "formats/index_codec.h"

namespace mica {

// Told what happened to an index file that is not worth an error: it was missing parts, stale,
// damaged, or could not be written. May be empty.
using IndexNote = std::function<void(const std::string& what)>;

std::filesystem::path IndexPath(const std::filesystem::path& top_parent);

// The index file beside a top parent as a store of regions (index_codec.h). Nothing is opened
// before the first region is asked for. A file that is missing, of another stack, or damaged in
// part has just those regions that can be verified; saving writes a new file and gives it the name.
class IndexFile final : public IndexStore {
 public:
  IndexFile(Host& host, std::filesystem::path path, const IndexFileHeader& expected, IndexNote note)
      : host_(host), path_(std::move(path)), expected_(expected), note_(std::move(note)) {}

  Async<std::optional<IndexRegion>> Load(uint32_t region) override;
  Async<void> Save(std::vector<std::pair<uint32_t, IndexRegion>> built) override;

 private:
  // An open file whose header is the expected one. Shared with loads in flight when it is replaced.
  struct Opened {
    std::unique_ptr<BlockFile> file;
    uint64_t size = 0;
    std::map<uint64_t, std::vector<IndexRecord>> pages;  // by file offset
  };

  Async<std::shared_ptr<Opened>> Open();
  Async<std::optional<IndexRegion>> LoadFrom(std::shared_ptr<Opened> opened, uint32_t region);
  Async<void> Write(std::filesystem::path temporary,
                    std::vector<std::pair<uint32_t, IndexRegion>> built);
  void Tell(const Error& why) const;

  Host& host_;
  const std::filesystem::path path_;
  const IndexFileHeader expected_;
  const IndexNote note_;
  std::shared_ptr<Opened> opened_;  // null: not tried yet, or not usable
  bool tried_ = false;
};

}  // namespace mica
