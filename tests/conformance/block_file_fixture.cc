// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/block_file_fixture.h"

#include <cerrno>
#include <cstdlib>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/io/memory_host.h"

namespace mica {

namespace {

class MemoryWorld final : public HostWorld {
 public:
  explicit MemoryWorld(bool delays) : host_(loop_) {
    constexpr uint64_t kSeed = 1;
    constexpr uint64_t kTurnsMax = 4;
    if (delays) host_.faults().DelayCalls(kSeed, kTurnsMax);
  }
  EventLoop& loop() override { return loop_; }
  Host& host() override { return host_; }
  [[nodiscard]] std::filesystem::path directory() const override { return "/memory"; }

 private:
  MemoryLoop loop_;
  MemoryHost host_;
};

class PosixWorld final : public HostWorld {
 public:
  PosixWorld(std::unique_ptr<Runtime> runtime, std::filesystem::path directory)
      : runtime_(std::move(runtime)), directory_(std::move(directory)) {}
  ~PosixWorld() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  EventLoop& loop() override { return runtime_->loop(); }
  Host& host() override { return runtime_->host(); }
  [[nodiscard]] std::filesystem::path directory() const override { return directory_; }

 private:
  std::unique_ptr<Runtime> runtime_;
  std::filesystem::path directory_;
};

}  // namespace

Result<std::unique_ptr<HostWorld>> MakeHostWorld(const HostCase& host_case) {
  if (host_case.memory) return std::make_unique<MemoryWorld>(host_case.delays);
  ASSIGN(std::unique_ptr<Runtime> runtime, MakePosixRuntime(host_case.engine));
  std::string pattern = (std::filesystem::temp_directory_path() / "mica-io-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) return ErrnoError(errno, "mkdtemp " + pattern);
  return std::make_unique<PosixWorld>(std::move(runtime), pattern);
}

void HostSuite::SetUp() {
  Result<std::unique_ptr<HostWorld>> made = MakeHostWorld(GetParam());
  if (!made && made.error().code == Errc::kUnsupported) GTEST_SKIP() << made.error().message;
  ASSERT_TRUE(made.has_value()) << made.error().message;
  world_ = std::move(*made);
}

OpenOptions HostSuite::Options(FileLock lock) const {
  return {.writable = true, .direct = GetParam().direct, .lock = lock};
}

std::unique_ptr<BlockFile> HostSuite::Create(const std::string& name) {
  Result<std::unique_ptr<BlockFile>> created =
      SyncWait(loop(), host().CreateExclusive(Path(name), Options()));
  EXPECT_TRUE(created.has_value()) << created.error().message;
  return std::move(created).value();
}

std::vector<std::byte> HostSuite::ReadAll(BlockFile& file) {
  const uint64_t size = SyncWait(loop(), file.Size()).value();
  std::vector<std::byte> bytes(size);
  const Result<void> read = SyncWait(loop(), file.Read(0, bytes));
  EXPECT_TRUE(read.has_value()) << read.error().message;
  return bytes;
}

}  // namespace mica
