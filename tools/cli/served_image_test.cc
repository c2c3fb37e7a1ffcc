// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/served_image.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "tests/support/toy_layer.h"

namespace mica {
namespace {

// An image whose only feature is how it closes.
class ClosingLayer final : public Layer {
 public:
  ClosingLayer(EventLoop& loop, bool fails, int& closed)
      : file_(loop), fails_(fails), closed_(closed) {
    info_.virtual_size = 4096;
    info_.cluster_bytes = 4096;
    info_.writable = true;
  }
  [[nodiscard]] const LayerInfo& info() const noexcept override { return info_; }
  BlockFile& data_file() noexcept override { return file_; }
  Async<Mapping> Map(ByteRange) override { co_return Error{Errc::kIo, "unused"}; }
  Async<WritePlan> PrepareWrite(ByteRange) override { co_return Error{Errc::kIo, "unused"}; }
  Async<void> PublishWrite(WritePlan) override { co_return Result<void>(); }
  void CancelWrite(WritePlan) noexcept override {}
  Async<void> Unmap(ByteRange, ExtentKind) override { co_return Result<void>(); }
  Async<void> Flush() override { co_return Result<void>(); }
  Async<void> Close() override {
    ++closed_;
    if (fails_) co_return Error{Errc::kIo, "sync failed"};
    co_return Result<void>();
  }

 private:
  testing::TurnFile file_;
  LayerInfo info_;
  bool fails_;
  int& closed_;
};

TEST(ServedImageTest, AFailedCloseNamesTheImageAndLeavesNothing) {
  MemoryLoop loop;
  int closed = 0;
  for (const bool fails : {false, true}) {
    std::vector<std::unique_ptr<Layer>> layers;
    layers.push_back(std::make_unique<ClosingLayer>(loop, fails, closed));
    ServedImage image;
    image.path = "some.mica";
    image.chain = std::make_unique<ImageChain>(loop, std::move(layers));
    const Result<void> result = SyncWait(loop, CloseServedImage(image));
    EXPECT_EQ(result.has_value(), !fails);
    EXPECT_EQ(image.chain, nullptr);
    if (!fails) continue;
    EXPECT_NE(result.error().message.find("some.mica"), std::string::npos);
  }
  EXPECT_EQ(closed, 2);
}

TEST(ParseExportTest, TheNameIsTheFilesUnlessGiven) {
  EXPECT_EQ(ParseExport("vm1.mica").name, "vm1");
  EXPECT_EQ(ParseExport("/srv/vms/vm1.old.mica").name, "vm1.old");
  EXPECT_EQ(ParseExport("/srv/vms/vm1.old.mica").path, "/srv/vms/vm1.old.mica");
  EXPECT_EQ(ParseExport("disk").name, "disk");
  EXPECT_EQ(ParseExport("web=/srv/vm1.mica").name, "web");
  EXPECT_EQ(ParseExport("web=/srv/vm1.mica").path, "/srv/vm1.mica");
  EXPECT_EQ(ParseExport("=vm1.mica").name, "");
}

TEST(ParseExportTest, AnEqualsSignOfADirectoryIsNoName) {
  EXPECT_EQ(ParseExport("./a=b.mica").path, "./a=b.mica");
  EXPECT_EQ(ParseExport("./a=b.mica").name, "a=b");
  EXPECT_EQ(ParseExport("vm=./a=b.mica").path, "./a=b.mica");
  EXPECT_EQ(ParseExport("vm=./a=b.mica").name, "vm");
}

}  // namespace
}  // namespace mica
