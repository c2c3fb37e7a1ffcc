// SPDX-License-Identifier: Apache-2.0
// Many heads in one process, and what opening one costs: descriptors, memory, calls of the host.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/io/memory_host.h"
#include "engine/io/runtime.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

// Creates an image, sealed when `sealed`; a child of `parent` when there is one.
struct Maker {
  Host& host;
  const ImageFormat& format = *FindFormat("mica").value();

  std::optional<ParentReference> Make(const fs::path& path, uint64_t size,
                                      const std::optional<ParentReference>& parent, bool sealed) {
    CreateOptions options;
    options.virtual_size = size;
    options.parent = parent;
    options.extra["log_size"] = "32768";
    EXPECT_TRUE(SyncWait(host.loop(), format.Create(host, path, options)));
    if (!sealed) return std::nullopt;
    const Result<LayerIdentity> identity = SyncWait(host.loop(), format.Seal(host, path));
    return ParentReference{path.filename().string(), "mica", identity.value()};
  }
};

class Directory {
 public:
  Directory() {
    std::string name = fs::temp_directory_path() / "mica-scale-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { fs::remove_all(path_); }
  [[nodiscard]] fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

int CountDescriptorsOf(const fs::path& file) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (fs::read_symlink(entry.path(), gone) == file) ++count;
  }
  return count;
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void AllowManyFiles() {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// Reads a block of the master and writes one of the delta's own.
void Use(EventLoop& loop, ImageChain& chain, uint64_t number) {
  std::vector<std::byte> block(4096);
  ASSERT_TRUE(SyncWait(loop, chain.Read(4096, block)));
  EXPECT_EQ(block[17], std::byte{0x5a});
  std::ranges::fill(block, std::byte(number));
  ASSERT_TRUE(SyncWait(loop, chain.Write(kGiB + number * 4096, block, Durability::kVolatile)));
}

TEST(Scale, AThousandDeltasInOneProcess) {
  constexpr size_t kDeltas = 1000;
  AllowManyFiles();
  const Directory directory;
  const std::unique_ptr<Runtime> runtime = MakePosixRuntime(IoEngineKind::kAuto).value();
  EventLoop& loop = runtime->loop();
  Maker maker{runtime->host()};
  {
    maker.Make(directory / "master", 16 * kGiB, std::nullopt, false);
    OpenChainOptions open;
    open.writable = true;
    const auto chain =
        SyncWait(loop, OpenChain(runtime->host(), directory / "master", open)).value();
    const std::vector<std::byte> data(kMiB, std::byte{0x5a});
    ASSERT_TRUE(SyncWait(loop, chain->Write(0, data, Durability::kVolatile)));
    ASSERT_TRUE(SyncWait(loop, chain->Close()));
  }
  const LayerIdentity identity =
      SyncWait(loop, maker.format.Seal(runtime->host(), directory / "master")).value();
  maker.Make(directory / "0", 16 * kGiB, ParentReference{"master", "mica", identity}, false);
  for (size_t i = 1; i < kDeltas; ++i) {
    fs::copy_file(directory / "0", directory / std::to_string(i));
  }
  ParentCache parents(runtime->host());
  std::vector<std::unique_ptr<ImageChain>> chains;
  const uint64_t before = ResidentBytes();
  for (size_t i = 0; i < kDeltas; ++i) {
    OpenChainOptions open;
    open.writable = true;
    open.parents = &parents;
    auto chain = SyncWait(loop, OpenChain(runtime->host(), directory / std::to_string(i), open));
    ASSERT_TRUE(chain) << chain.error().message;
    chains.push_back(*std::move(chain));
    Use(loop, *chains.back(), i);
  }
  const uint64_t each = (ResidentBytes() - before) / kDeltas;
  EXPECT_EQ(CountDescriptorsOf(directory / "master"), 1);
  EXPECT_LE(each, 2 * kMiB);
  RecordProperty("bytes_per_delta", std::to_string(each));
  for (const std::unique_ptr<ImageChain>& chain : chains) {
    EXPECT_EQ(chain->parents(), chains.front()->parents());
  }
  chains.clear();
  loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
  EXPECT_EQ(CountDescriptorsOf(directory / "master"), 0);
}

// Calls of the host that opening `path` for writing and closing it again takes.
uint64_t CallsOfAttach(MemoryHost& host, const fs::path& path) {
  const uint64_t before = host.faults().calls_made();
  OpenChainOptions open;
  open.writable = true;
  const auto chain = SyncWait(host.loop(), OpenChain(host, path, open)).value();
  EXPECT_TRUE(SyncWait(host.loop(), chain->Close()));
  return host.faults().calls_made() - before;
}

TEST(Scale, AttachTakesTheSameCallsAtAnySize) {
  MemoryLoop loop;
  MemoryHost host(loop);
  Maker maker{host};
  std::vector<uint64_t> calls;
  for (const uint64_t size : {kGiB, 64 * kGiB, 1024 * kGiB, 16384 * kGiB}) {
    const std::string name = std::to_string(size);
    const auto parent = maker.Make("/m" + name, size, std::nullopt, true);
    maker.Make("/d" + name, size, parent, false);
    calls.push_back(CallsOfAttach(host, "/d" + name));
    // With a block in every GiB, at most 256 of them.
    {
      OpenChainOptions open;
      open.writable = true;
      const auto chain = SyncWait(loop, OpenChain(host, "/d" + name, open)).value();
      const std::vector<std::byte> data(4096, std::byte{1});
      for (uint64_t at = 0; at < size; at += std::max(kGiB, size / 256)) {
        ASSERT_TRUE(SyncWait(loop, chain->Write(at, data, Durability::kVolatile)));
      }
      ASSERT_TRUE(SyncWait(loop, chain->Close()));
    }
    calls.push_back(CallsOfAttach(host, "/d" + name));
  }
  for (const uint64_t one : calls) EXPECT_EQ(one, calls.front());
  EXPECT_LE(calls.front(), 20u);
}

}  // namespace
}  // namespace mica
