// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mount_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "engine/base/prng.h"
#include "engine/base/unique_fd.h"
#include "tools/guest/mounted/file_handles.h"
#include "tools/guest/mounted/mount_protocol.h"

namespace mica::guest {
namespace {

using testing::HasSubstr;

// A mounter in a thread, to be spoken to byte by byte.
class MountService : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    ours_ = UniqueFd(ends[0]);
    service_ =
        std::thread([theirs = UniqueFd(ends[1]), this] { ended_ = RunMountService(theirs.get()); });
  }
  void TearDown() override {
    ours_.Close();
    if (service_.joinable()) service_.join();
  }

  void Send(ConstBytes request) {
    std::vector<std::byte> message(sizeof(uint32_t));
    StoreLe<uint32_t>(message, 0, static_cast<uint32_t>(request.size()));
    message.insert(message.end(), request.begin(), request.end());
    ASSERT_EQ(::write(ours_.get(), message.data(), message.size()), std::ssize(message));
  }
  std::vector<std::byte> Receive() {
    std::array<std::byte, sizeof(uint32_t)> header{};
    EXPECT_EQ(::recv(ours_.get(), header.data(), header.size(), MSG_WAITALL), 4);
    std::vector<std::byte> answer(LoadLe<uint32_t>(header, 0));
    EXPECT_EQ(::recv(ours_.get(), answer.data(), answer.size(), MSG_WAITALL), std::ssize(answer));
    return answer;
  }
  // The error of an answer.
  Error Refusal(ConstBytes request) {
    Send(request);
    const std::vector<std::byte> answer = Receive();
    ByteReader in(answer);
    EXPECT_EQ(in.Take<uint8_t>(), 0);
    return TakeError(in);
  }

  UniqueFd ours_;
  std::thread service_;
  Result<void> ended_;
};

TEST_F(MountService, WhatIsNoRequestIsRefused) {
  Prng prng(20);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> request(prng.Below(80));
    for (std::byte& byte : request) byte = static_cast<std::byte>(prng.Below(24));
    // Attaching is the one thing that can be done without a session.
    if (!request.empty() && request.front() == std::byte{0}) request.front() = std::byte{1};
    if (request.empty()) continue;
    EXPECT_EQ(Refusal(request).code, Errc::kInvalidArgument);
  }
}

TEST_F(MountService, ARequestWithoutEndEndsIt) {
  std::array<std::byte, sizeof(uint32_t)> header{};
  StoreLe<uint32_t>(header, 0, kMountMessageBytesMax + 1);
  ASSERT_EQ(::write(ours_.get(), header.data(), header.size()), std::ssize(header));
  service_.join();
  ASSERT_FALSE(ended_);
  EXPECT_EQ(ended_.error().code, Errc::kLimit);
}

TEST_F(MountService, TheEndOfTheSocketEndsIt) {
  ours_.Close();
  service_.join();
  EXPECT_TRUE(ended_);
}

TEST(MountProtocol, ErrorsKeepWhatTheySay) {
  ByteWriter out;
  PutError({Errc::kNoSpace, 28, "no room for 'x'"}, out);
  ByteReader in(out.bytes());
  const Error error = TakeError(in);
  EXPECT_TRUE(in.at_end());
  EXPECT_EQ(error.code, Errc::kNoSpace);
  EXPECT_EQ(error.sys_errno, 28);
  EXPECT_EQ(error.message, "no room for 'x'");
}

TEST(MountProtocol, NewObjectsComeBackWhole) {
  NewObject object;
  object.kind = ObjectKind::kBlockDevice;
  object.attributes.mode = 0640;
  object.attributes.modified = {-5, 7};
  object.attributes.xattrs["user.x"] = std::string("\0y", 2);
  object.device_major = 259;
  object.device_minor = 70000;
  ByteWriter out;
  PutNewObject(object, out);
  ByteReader in(out.bytes());
  const Result<NewObject> back = TakeNewObject(in);
  ASSERT_TRUE(back);
  EXPECT_TRUE(in.at_end());
  EXPECT_EQ(back->kind, object.kind);
  EXPECT_EQ(back->attributes, object.attributes);
  EXPECT_EQ(back->device_major, 259U);
  EXPECT_EQ(back->device_minor, 70000U);
}

TEST(FileHandles, NamesThatLeadOutAreNone) {
  for (const std::string_view leaf : {"", ".", "..", "/", "a/b", "../x", "/etc"}) {
    EXPECT_FALSE(CheckLeaf(leaf)) << leaf;
  }
  EXPECT_FALSE(CheckLeaf(std::string_view("a\0b", 3)));
  for (const std::string_view leaf : {"...", "..x", ".x", "a b", "\xff\n"}) {
    EXPECT_TRUE(CheckLeaf(leaf)) << leaf;
  }
}

}  // namespace
}  // namespace mica::guest
