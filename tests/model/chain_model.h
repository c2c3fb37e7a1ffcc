// SPDX-License-Identifier: Apache-2.0
// A disk of a chain of images beside a reference disk in memory, under random operations: requests
// of any alignment, several in flight, reopening, jobs that change the chain. Everything follows
// from the seed, except the order in which requests in flight complete.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/prng.h"
#include "engine/image_chain.h"
#include "engine/io/host.h"

namespace mica::testing {

class ChainModel {
 public:
  ChainModel(Host& host, std::filesystem::path directory, uint64_t seed);

  // Makes the masters and the disk, then does `rounds` rounds of requests or of something bigger.
  // Empty when all went well, else what is wrong.
  std::string Run(uint32_t rounds);

 private:
  using Content = std::vector<std::byte>;
  // A sealed image to stand on.
  struct Master {
    std::string name;
    ParentReference reference;
    uint64_t size = 0;
  };
  // One request of a batch: what it does, and for reads what must come back.
  struct Request {
    enum class Kind : uint8_t { kRead, kWrite, kZero, kDiscard, kFlush, kStatus };
    Kind kind = Kind::kRead;
    ByteRange range;
    Durability durability = Durability::kVolatile;
    ZeroHint hint = ZeroHint::kMayUnmap;
    Content data;
  };

  [[nodiscard]] std::filesystem::path Path(const std::string& name) const;
  Async<void> Setup();
  Async<void> MakeMaster(std::string name, std::string format, uint64_t size);
  Async<void> MakeDelta(std::string name, std::optional<ParentReference> parent, uint64_t size);
  Async<std::unique_ptr<ImageChain>> Open(std::string name, std::string format, bool writable);

  Async<void> Round();
  Async<void> OpenDisk();
  Async<void> CloseDisk();
  // Requests on the open disk.
  Async<void> Batch();
  Async<void> Do(Request& request);
  Async<void> CheckDiscarded(ByteRange range);
  Async<void> CheckStatus(ByteRange range);
  [[nodiscard]] Request RandomRequest();
  [[nodiscard]] ByteRange RandomRange();
  void ApplyToReference(const Request& request);
  Async<void> CheckAll();
  // Changes of the chain, with the disk closed.
  Async<void> Reopen();
  Async<void> DoFlatten();
  Async<void> DoReparent();
  Async<void> TryOut();
  Async<void> CommitFile(std::filesystem::path path);
  Async<void> Resize();
  Async<void> UseSnapshots();
  Async<void> Compact();
  [[nodiscard]] Result<void> Refused(const Error& error) const;
  Async<void> Compare();
  [[nodiscard]] Result<void> Wrong(std::string what) const;

  Host& host_;
  const std::filesystem::path directory_;
  Prng prng_;
  std::vector<Master> masters_;
  std::string disk_ = "disk";          // the file that is written now
  std::unique_ptr<ImageChain> chain_;  // of disk_, when open
  Content reference_;
  std::map<std::string, Content> snapshots_;
  bool has_parent_ = true;
  uint32_t round_ = 0;
  std::string doing_;  // for messages
};

}  // namespace mica::testing
