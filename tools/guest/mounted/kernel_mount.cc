// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/kernel_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mica::guest {

namespace {

constexpr int kLoopAttempts = 64;  // others take free devices too

constexpr unsigned kHarmless =
    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME;

// What a file system says about a mount that failed; often nothing.
std::string Complaints(int fs) {
  std::string text;
  std::array<char, 1024> line{};
  for (ssize_t got = 0; (got = ::read(fs, line.data(), line.size())) > 0;) {
    text += fmt::format("; {}", std::string_view(line.data(), static_cast<size_t>(got)));
  }
  return text;
}

Error MountError(int failed, int fs, const MountRequest& request) {
  const std::string said = Complaints(fs);
  if (request.file_system == "btrfs" && (failed == EEXIST || failed == EBUSY)) {
    return {Errc::kUnsupported, failed,
            "expected Linux 6.7 or later, which mounts several versions of one btrfs file system "
            "beside each other, or no other mount of it; found a kernel that refuses the second"};
  }
  Error error = ErrnoError(failed, fmt::format("mount the {} file system by the host's kernel{}",
                                               request.file_system, said));
  if (failed == EINVAL || failed == EOPNOTSUPP || failed == ENODEV) {
    error.code = Errc::kUnsupported;
    error.message +=
        ": expected one that this kernel knows all features of (its log, dmesg, says "
        "what it refused); a newer kernel may help";
  } else {
    error.code = Errc::kCorrupt;
    error.message += "; the kernel's log (dmesg) may tell more";
  }
  return error;
}

class MountContext {
 public:
  static Result<MountContext> Open(const std::string& file_system) {
    UniqueFd fd(::fsopen(file_system.c_str(), FSOPEN_CLOEXEC));
    if (fd) return MountContext(std::move(fd));
    if (errno == ENODEV) {
      return Error{Errc::kUnsupported,
                   fmt::format("expected a host kernel that knows {0}, found one without it; "
                               "loading its module may help (modprobe {0})",
                               file_system)};
    }
    return ErrnoError(errno, fmt::format("mount a {} file system", file_system));
  }

  bool Set(const char* key, const std::string& value) {
    return ::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  }
  bool Set(const char* flag) {
    return ::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, flag, nullptr, 0) == 0;
  }
  bool Create() { return ::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0; }
  UniqueFd Mount(unsigned attributes) {
    return UniqueFd(::fsmount(fd_.get(), FSMOUNT_CLOEXEC, attributes));
  }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  explicit MountContext(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace

Result<FuseMount> MountFuseFile() {
  FuseMount mount;
  mount.device = UniqueFd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!mount.device) return ErrnoError(errno, "open /dev/fuse");
  ASSIGN(MountContext context, MountContext::Open("fuse"));
  const bool made = context.Set("fd", std::to_string(mount.device.get())) &&
                    context.Set("rootmode", "100600") && context.Set("user_id", "0") &&
                    context.Set("group_id", "0") && context.Set("allow_other") && context.Create();
  if (made) mount.root = context.Mount(kHarmless);
  if (mount.root) return mount;
  const int failed = errno;
  return ErrnoError(failed, "mount a FUSE file system" + Complaints(context.fd()));
}

Result<UniqueFd> OpenAgain(int path_fd, int flags) {
  const std::string path = fmt::format("/proc/self/fd/{}", path_fd);
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd) return ErrnoError(errno, "open what a guest's file system is served as");
  return fd;
}

Result<LoopDevice> AttachLoop(int file_fd) {
  const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) return ErrnoError(errno, "open /dev/loop-control");
  for (int attempt = 0;; ++attempt) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoError(errno, "find a free loop device");
    LoopDevice device;
    device.path = fmt::format("/dev/loop{}", number);
    device.fd = UniqueFd(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device.fd) return ErrnoError(errno, "open " + device.path);
    loop_config config{};
    config.fd = static_cast<uint32_t>(file_fd);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    std::memcpy(config.info.lo_file_name, "mica", sizeof "mica");
    if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY || attempt == kLoopAttempts) {
      return ErrnoError(errno, "configure " + device.path);
    }
  }
}

Result<UniqueFd> MountDevice(const MountRequest& request) {
  ASSIGN(MountContext context, MountContext::Open(request.file_system));
  bool made = context.Set("source", request.device);
  // The UUID is that of every other version of the volume.
  if (request.file_system == "xfs") made = made && context.Set("nouuid");
  if (request.file_system == "btrfs") made = made && context.Set("subvolid", "5");
  if (request.access == MountAccess::kReadOnly) made = made && context.Set("ro");
  if (!made || !context.Create()) {
    const int failed = errno;
    return MountError(failed, context.fd(), request);
  }
  const UniqueFd mount = context.Mount(kHarmless | MOUNT_ATTR_NOSYMFOLLOW);
  if (!mount) return ErrnoError(errno, "make a mount of " + request.device);
  UniqueFd root(::openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError(errno, "open the root directory of " + request.device);
  return root;
}

void ForgetBtrfs(const std::string& device) {
  const UniqueFd control(::open("/dev/btrfs-control", O_RDWR | O_CLOEXEC));
  if (!control) return;
  btrfs_ioctl_vol_args which{};
  std::strncpy(which.name, device.c_str(), sizeof which.name - 1);
  ::ioctl(control.get(), BTRFS_IOC_FORGET_DEV, &which);
}

}  // namespace mica::guest
