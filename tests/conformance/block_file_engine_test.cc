// SPDX-License-Identifier: Apache-2.0
// How an I/O engine is chosen. Kernels without io_uring or libaio are played by a child process
// that forbids itself the system calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "engine/io/runtime.h"

namespace mica {
namespace {

// From now on this process gets ENOSYS from the given system calls.
bool ForbidSystemCalls(const std::vector<unsigned>& numbers) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const unsigned number : numbers) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{};
  filter.len = static_cast<unsigned short>(program.size());
  filter.filter = program.data();
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

constexpr int kForbiddingFailed = 100;
constexpr int kRefused = 101;

// Exits with the engine that was chosen, or kRefused when it is kUnsupported and says so.
[[noreturn]] void ChooseAndExit(const std::vector<unsigned>& forbidden, IoEngineKind wanted) {
  if (!ForbidSystemCalls(forbidden)) std::_Exit(kForbiddingFailed);
  Result<std::unique_ptr<Runtime>> made = MakePosixRuntime(wanted);
  if (made) std::_Exit(static_cast<int>((*made)->engine()));
  fprintf(stderr, "%s\n", made.error().message.c_str());
  std::_Exit(made.error().code == Errc::kUnsupported ? kRefused : EXIT_FAILURE);
}

testing::ExitedWithCode Chose(IoEngineKind kind) {
  return testing::ExitedWithCode(static_cast<int>(kind));
}

TEST(IoEngineChoiceDeathTest, FallsBackInOrder) {
  EXPECT_EXIT(ChooseAndExit({__NR_io_uring_setup}, IoEngineKind::kAuto), Chose(IoEngineKind::kAio),
              "");
  EXPECT_EXIT(ChooseAndExit({__NR_io_uring_setup, __NR_io_setup}, IoEngineKind::kAuto),
              Chose(IoEngineKind::kPread), "");
}

TEST(IoEngineChoiceDeathTest, AForcedEngineThatIsMissingIsAClearError) {
  EXPECT_EXIT(ChooseAndExit({__NR_io_uring_setup}, IoEngineKind::kUring),
              testing::ExitedWithCode(kRefused), "io_uring is not usable here");
  EXPECT_EXIT(ChooseAndExit({__NR_io_setup}, IoEngineKind::kAio), testing::ExitedWithCode(kRefused),
              "libaio is not usable here");
}

TEST(IoEngineChoice, NamesAreReadBack) {
  for (const IoEngineKind kind : {IoEngineKind::kAuto, IoEngineKind::kUring, IoEngineKind::kAio,
                                  IoEngineKind::kPread, IoEngineKind::kBlocking}) {
    EXPECT_EQ(ParseIoEngine(IoEngineName(kind)).value(), kind);
  }
  const Result<IoEngineKind> unknown = ParseIoEngine("threads");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, Errc::kInvalidArgument);
  EXPECT_THAT(unknown.error().message, testing::HasSubstr("uring"));
}

TEST(IoEngineChoice, PreadAlwaysWorks) {
  const auto runtime = MakePosixRuntime(IoEngineKind::kPread);
  ASSERT_TRUE(runtime.has_value());
  EXPECT_EQ((*runtime)->engine(), IoEngineKind::kPread);
}

}  // namespace
}  // namespace mica
