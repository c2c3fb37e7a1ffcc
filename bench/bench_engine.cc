// SPDX-License-Identifier: Apache-2.0
// One workload on one image without any server: a mica chain, or a raw file with direct I/O through
// the same I/O engine. bench/engine_table.py runs it in turns with its peers.
//
//   bench_engine mica|raw PATH read|write [OPTION=NUMBER]...
//
// block=BYTES depth=N count=REQUESTS flush=EVERY (0: once at the end) stride=BLOCKS (1: in order)
// range=BYTES (of the disk, from its start)
// Requests go to blocks 0, stride, 2 * stride, … modulo the number of blocks in the range: an odd
// stride and a power of two visit each once, in a scattered order, as `qemu-img bench -S` does.
// Prints one JSON line.
#include <fmt/core.h>
#include <sys/resource.h>

#include <chrono>
#include <map>
#include <string>

#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/prng.h"
#include "engine/io/runtime.h"
#include "formats/open_chain.h"

namespace mica {
namespace {

// What is measured: a chain or a file.
class Target {
 public:
  Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  virtual ~Target() = default;
  virtual Async<void> Read(uint64_t offset, Bytes buffer) = 0;
  virtual Async<void> Write(uint64_t offset, ConstBytes buffer) = 0;
  virtual Async<void> Flush() = 0;
  virtual Async<void> Close() = 0;
};

class ChainTarget final : public Target {
 public:
  explicit ChainTarget(std::unique_ptr<ImageChain> chain) : chain_(std::move(chain)) {}
  Async<void> Read(uint64_t offset, Bytes buffer) override { return chain_->Read(offset, buffer); }
  Async<void> Write(uint64_t offset, ConstBytes buffer) override {
    return chain_->Write(offset, buffer, Durability::kVolatile);
  }
  Async<void> Flush() override { return chain_->Flush(); }
  Async<void> Close() override { return chain_->Close(); }

 private:
  std::unique_ptr<ImageChain> chain_;
};

class FileTarget final : public Target {
 public:
  explicit FileTarget(std::unique_ptr<BlockFile> file) : file_(std::move(file)) {}
  Async<void> Read(uint64_t offset, Bytes buffer) override { return file_->Read(offset, buffer); }
  Async<void> Write(uint64_t offset, ConstBytes buffer) override {
    return file_->Write(offset, buffer);
  }
  Async<void> Flush() override { return file_->Sync(); }
  Async<void> Close() override { return file_->Sync(); }

 private:
  std::unique_ptr<BlockFile> file_;
};

struct Load {
  bool write = false;
  std::map<std::string, uint64_t> numbers{{"block", 4096}, {"depth", 32}, {"count", 1024},
                                          {"flush", 0},    {"stride", 1}, {"range", 1 << 28}};
  [[nodiscard]] uint64_t Get(const char* name) const { return numbers.at(name); }
};

class Runner {
 public:
  Runner(EventLoop& loop, Target& target, const Load& load)
      : loop_(loop),
        target_(target),
        write_(load.write),
        block_bytes_(load.Get("block")),
        count_(load.Get("count")),
        flush_every_(load.Get("flush")),
        stride_(load.Get("stride")),
        blocks_(load.Get("range") / block_bytes_) {}

  Async<void> Run(uint64_t depth) {
    std::vector<Async<void>> workers;
    for (uint64_t i = 0; i < depth; ++i) workers.push_back(Work(i));
    CO_TRY(co_await WhenAll(loop_, std::move(workers)));
    if (write_ && flush_every_ != 1) co_return co_await target_.Flush();
    co_return Result<void>();
  }

 private:
  Async<void> Work(uint64_t seed) {
    AlignedBuffer buffer(block_bytes_);
    Prng prng(seed + 1);
    for (size_t i = 0; i + 8 <= buffer.size(); i += 8) StoreLe(buffer.span(), i, prng.Next());
    while (next_ < count_) {
      const uint64_t offset = next_++ * stride_ % blocks_ * block_bytes_;
      if (!write_) {
        CO_TRY(co_await target_.Read(offset, buffer.span()));
        continue;
      }
      CO_TRY(co_await target_.Write(offset, buffer.span()));
      if (flush_every_ != 0 && ++written_ % flush_every_ == 0) CO_TRY(co_await target_.Flush());
    }
    co_return Result<void>();
  }

  EventLoop& loop_;
  Target& target_;
  const bool write_;
  const uint64_t block_bytes_;
  const uint64_t count_;
  const uint64_t flush_every_;
  const uint64_t stride_;
  const uint64_t blocks_;
  uint64_t next_ = 0;
  uint64_t written_ = 0;
};

Result<std::unique_ptr<Target>> OpenTarget(Runtime& runtime, const std::string& kind,
                                           const std::string& path) {
  if (kind == "raw") {
    OpenOptions options;
    options.writable = true;
    options.direct = true;
    ASSIGN(std::unique_ptr<BlockFile> file,
           SyncWait(runtime.loop(), runtime.host().Open(path, options)));
    return std::make_unique<FileTarget>(std::move(file));
  }
  OpenChainOptions options;
  options.writable = true;
  ASSIGN(std::unique_ptr<ImageChain> chain,
         SyncWait(runtime.loop(), OpenChain(runtime.host(), path, options)));
  return std::make_unique<ChainTarget>(std::move(chain));
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Result<void> Measure(const std::string& kind, const std::string& path, const Load& load) {
  ASSIGN(const std::unique_ptr<Runtime> runtime, MakePosixRuntime(IoEngineKind::kAuto));
  ASSIGN(const std::unique_ptr<Target> target, OpenTarget(*runtime, kind, path));
  Runner runner(runtime->loop(), *target, load);
  const double cpu_before = CpuSeconds();
  const auto before = std::chrono::steady_clock::now();
  TRY(SyncWait(runtime->loop(), runner.Run(load.Get("depth"))));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
  const double cpu = CpuSeconds() - cpu_before;
  TRY(SyncWait(runtime->loop(), target->Close()));
  fmt::print("{{\"seconds\": {:.6f}, \"cpu_seconds\": {:.6f}, \"requests\": {}, \"io\": \"{}\"}}\n",
             took.count(), cpu, load.Get("count"), IoEngineName(runtime->engine()));
  return {};
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  Load load;
  bool usable = words.size() >= 3 && (words[0] == "mica" || words[0] == "raw") &&
                (words[2] == "read" || words[2] == "write");
  for (size_t i = 3; usable && i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const auto number = load.numbers.find(words[i].substr(0, equals));
    usable = equals != std::string::npos && number != load.numbers.end();
    if (usable) number->second = std::strtoull(words[i].c_str() + equals + 1, nullptr, 10);
  }
  if (!usable || load.Get("block") == 0 || load.Get("range") < load.Get("block")) {
    fmt::print(stderr, "usage: bench_engine mica|raw PATH read|write [NAME=NUMBER]...\n");
    return 2;
  }
  load.write = words[2] == "write";
  const Result<void> measured = Measure(words[0], words[1], load);
  if (measured) return 0;
  fmt::print(stderr, "bench_engine: {}\n", measured.error().message);
  return 1;
}

}  // namespace
}  // namespace mica

int main(int argc, char** argv) {
  return mica::Main(argc, argv);
}
