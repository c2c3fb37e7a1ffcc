// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica::nbd {

enum class UriSecurity : uint8_t { kPlain, kTls };

// A socket that listens. Made before the server runs (name look-ups block). A unix socket's name is
// removed by Close or the destructor, unless somebody has put another file there.
class Listener {
 public:
  static constexpr mode_t kPrivate = 0600;

  // Replaces a socket that no server answers on; kBusy when one does, kExists when something that
  // is no socket has the name, kInvalidArgument when the path is too long for a socket.
  static Result<Listener> OnUnixSocket(const std::filesystem::path& path, mode_t mode = kPrivate);

  // Every address `host` has; with an empty host all addresses of the machine. `port` is a number
  // or a service name; "0" lets the kernel choose.
  static Result<std::vector<Listener>> OnTcp(const std::string& host, const std::string& port);

  // Guests and hosts of one machine. `cid` is an address of this side or kAnyCid, port kAnyPort
  // lets the kernel choose. kUnsupported where the kernel has no vsock.
  static constexpr uint32_t kAnyCid = UINT32_MAX;
  static constexpr uint32_t kAnyPort = UINT32_MAX;
  static Result<Listener> OnVsock(uint32_t cid, uint32_t port);

  // A listening socket made by somebody else (socket activation).
  static Result<Listener> Adopt(UniqueFd socket);

  Listener(Listener&& other) noexcept = default;
  Listener& operator=(Listener&& other) = delete;
  ~Listener() { RemoveName(); }

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  // Where it listens, for people.
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  // What a client is given to reach `export_name` here (the NBD URI specification).
  [[nodiscard]] std::string Uri(std::string_view export_name,
                                UriSecurity security = UriSecurity::kPlain) const;

  // The name of a unix socket that goes with this listener; empty when none does.
  [[nodiscard]] std::string owned_path() const { return name_ ? name_->path.native() : ""; }
  // From now on the name goes with this listener, if it is the one it is bound to.
  void OwnPath(const std::filesystem::path& path);
  // The name stays for another process that has the socket as well.
  void DisownPath() noexcept { name_.reset(); }

  // The next connection, non-blocking; nothing when none is waiting or it was gone before we came.
  // Errors are lasting: out of descriptors or memory, or Stop was called.
  Result<std::optional<UniqueFd>> Accept();

  // No further connections; wakes whoever waits for one.
  void Stop() noexcept;

 private:
  // Identifies the file our bind has made. Its mere existence means there is a name to remove.
  struct BoundName {
    std::filesystem::path path;
    dev_t device = 0;
    ino_t inode = 0;
  };

  Listener(UniqueFd socket, std::string address);
  void RemoveName() noexcept;

  UniqueFd socket_;
  std::string address_;
  std::optional<BoundName> name_;
};

}  // namespace mica::nbd
