// SPDX-License-Identifier: Apache-2.0
// Power cuts and failing calls while a sealed master is packed and replaced under its children: the
// name always holds a whole image, the old or the new one, with the same content and identity.
//
// A failure prints its seed or call; everything follows from these.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/chunk_cache.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/open_chain.h"

namespace mica::testing {
namespace {

using Data = std::vector<std::byte>;

constexpr uint64_t kSize = (5 << 20) + 300;

class MicaPackCrash : public ::testing::Test {
 protected:
  void SetUp() override {
    ChunkCache::OfProcess().SetBytesMax(0);  // or it would hide what the disk has lost
    Make("/master", nullptr, 1);
    const LayerIdentity identity = SyncWait(loop_, format_.Seal(host_, "/master")).value();
    ParentReference parent;
    parent.path = "master";
    parent.format = "mica";
    parent.identity = identity;
    Make("/child", &parent, 2);
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory("/")));
    content_ = Read(host_).value();
  }
  void TearDown() override { ChunkCache::OfProcess().SetBytesMax(ChunkCache::kBytesMaxDefault); }

  void Make(const std::string& path, const ParentReference* parent, uint64_t seed) {
    CreateOptions create;
    create.virtual_size = kSize;
    create.extra["log_size"] = "32768";
    if (parent != nullptr) create.parent = *parent;
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, path, create)));
    OpenChainOptions open;
    open.writable = true;
    const auto chain = SyncWait(loop_, OpenChain(host_, path, open)).value();
    Prng prng(seed);
    for (int i = 0; i < 30; ++i) {
      const uint64_t offset = prng.Below(kSize);
      Data data(std::min<uint64_t>(1 + prng.Below(200'000), kSize - offset));
      const uint64_t letters = prng.OneIn(3) ? 256 : 8;
      for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Below(letters));
      ASSERT_TRUE(SyncWait(loop_, chain->Write(offset, data, Durability::kVolatile)));
    }
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }

  // What the child shows: its parent has to be there, whole, and the one it was made on.
  static Result<Data> Read(MemoryHost& host) {
    ASSIGN(const auto chain, SyncWait(host.loop(), OpenChain(host, "/child", OpenChainOptions())));
    Data data(chain->info().size);
    TRY(SyncWait(host.loop(), chain->Read(0, data)));
    return data;
  }
  [[nodiscard]] std::string Verify(MemoryHost& host) const {
    const Result<Data> found = Read(host);
    if (!found) return found.error().message;
    if (*found != content_) return "the content is another";
    const auto report =
        SyncWait(host.loop(), format_.Check(host, "/master", CheckScope::kMetadataAndData));
    if (!report) return report.error().message;
    return report->corruptions == 0 ? "" : report->findings.front().what;
  }
  // The sequence of `mica seal --compress`.
  Result<void> PackInPlace(MemoryHost& host) {
    PackOptions options;
    options.level = 1;
    TRY(SyncWait(host.loop(), format_.Pack(host, "/master", "/.master.tmp", options)));
    TRY(SyncWait(host.loop(), host.Rename("/.master.tmp", "/master")));
    return SyncWait(host.loop(), host.SyncDirectory("/"));
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
  Data content_;
};

TEST_F(MicaPackCrash, APowerCutLeavesTheOldImageOrTheNew) {
  uint64_t cuts = 0;
  std::string failure;
  host_.faults().DelayCalls(7, 2);
  host_.faults().SetChangeHook([&](const HostCall& call) {
    for (int i = 0; i < 8 && failure.empty(); ++i) {
      const uint64_t seed = ++cuts;
      MemoryLoop loop;
      const PowerCutPolicy policy = PowerCutPolicy::FromSeed(seed);
      MemoryHost after(loop, {}, host_.disk().AfterPowerCut(policy));
      failure = Verify(after);
      if (failure.empty()) continue;
      failure = fmt::format("cut {} after {} of {} at {}: {}", seed, HostCallName(call.kind),
                            call.path, call.range.offset, failure);
    }
  });
  ASSERT_TRUE(PackInPlace(host_));
  host_.faults().SetChangeHook({});
  ASSERT_EQ(failure, "");
  EXPECT_EQ(Verify(host_), "");
  // And from here on it is the new one.
  const auto format = SyncWait(loop_, OpenChain(host_, "/master", OpenChainOptions())).value();
  EXPECT_TRUE(format->layer(0).info().compression);
  fmt::print("{} cuts\n", cuts);
}

TEST_F(MicaPackCrash, AFailingCallLeavesTheOldImageOrTheNew) {
  for (const int sys_errno : {EIO, ENOSPC}) {
    for (uint64_t number = 1;; ++number) {
      MemoryLoop loop;
      MemoryHost host(loop, {}, host_.disk().AfterPowerCut({PowerCutKind::kKeepAll, 0}));
      Fault fault;
      fault.sys_errno = sys_errno;
      fault.partial_bytes = number % 2 == 0 ? 4096 : 0;
      host.faults().FailCall(number, fault);
      const Result<void> packed = PackInPlace(host);
      const bool reached = host.faults().calls_made() >= number;
      ASSERT_EQ(packed.has_value(), !reached) << number;
      ASSERT_EQ(Verify(host), "") << "call " << number;
      if (!reached) break;
    }
  }
}

}  // namespace
}  // namespace mica::testing
