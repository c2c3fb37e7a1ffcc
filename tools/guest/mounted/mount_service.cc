// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mount_service.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "tools/guest/mounted/device_extents.h"
#include "tools/guest/mounted/kernel_mount.h"
#include "tools/guest/mounted/mount_protocol.h"
#include "tools/guest/mounted/mounted_writer.h"
#include "tools/guest/mounted/retry_guard.h"
#include "tools/guest/object_codec.h"

namespace mica::guest {

namespace {

constexpr size_t kSessionsMax = 256;
constexpr size_t kListedPlacesMax = 8;
constexpr std::string_view kFileSystems[] = {"xfs", "btrfs"};

// One volume: first a file, then a tree.
struct Session {
  FuseMount file;
  LoopDevice loop;  // closed when it is mounted
  bool is_btrfs = false;
  std::unique_ptr<MountedTree> tree;
  std::unique_ptr<MountedWriter> writer;
  std::unique_ptr<DeviceExtents> extents;
  // The last listing, which is handed out in parts.
  uint64_t listed = 0;
  std::vector<DirectoryEntry> listing;

  Session() = default;
  Session(Session&&) = default;
  Session& operator=(Session&&) = delete;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    writer.reset();
    extents.reset();
    tree.reset();  // unmounts
    if (is_btrfs && !loop.path.empty()) ForgetBtrfs(loop.path);
  }
};

struct Answer {
  ByteWriter bytes;
  UniqueFd descriptor;
};

class Service {
 public:
  // `worker`: the socket, whose other end serves the volumes.
  explicit Service(int worker) : worker_(worker) {}

  // Appends the result to the answer.
  Result<void> Handle(ByteReader& in, Answer& answer) {
    const auto operation = static_cast<MountOperation>(in.Take<uint8_t>());
    if (operation == MountOperation::kAttach) return Attach(answer);
    const auto number = in.Take<uint32_t>();
    const auto found = sessions_.find(number);
    if (found == sessions_.end()) return Nonsense("a session that is not there");
    Session& session = found->second;
    switch (operation) {
      case MountOperation::kMount:
        return Mount(session, in, answer.bytes);
      case MountOperation::kFile:
        return OpenFile(session, answer);
      case MountOperation::kDetach: {
        const Result<void> finished = session.writer ? session.writer->Finish() : Result<void>();
        sessions_.erase(found);
        return finished;
      }
      default:
        break;
    }
    if (!session.tree) return Nonsense("a volume that is not mounted");
    if (operation < MountOperation::kCreate) return Look(operation, session, in, answer.bytes);
    if (!session.writer) return Error{Errc::kReadOnly, "the volume is mounted read-only"};
    return Change(operation, *session.writer, in, answer.bytes);
  }

 private:
  static Error Nonsense(std::string_view what) {
    return {Errc::kInvalidArgument, fmt::format("a request to the mounter about {}", what)};
  }

  Result<void> Attach(Answer& answer) {
    if (sessions_.size() == kSessionsMax) return Nonsense("too many volumes");
    Session session;
    ASSIGN(session.file, MountFuseFile());
    answer.descriptor = std::move(session.file.device);
    answer.bytes.Put(next_);
    sessions_.emplace(next_++, std::move(session));
    return {};
  }

  Result<void> Mount(Session& session, ByteReader& in, ByteWriter& out) const {
    MountRequest request;
    request.file_system = in.TakeText();
    const bool write = in.Take<uint8_t>() != 0;
    const auto like = sessions_.find(in.Take<uint32_t>());
    const auto* const known = std::ranges::find(kFileSystems, request.file_system);
    if (!in.at_end() || known == std::end(kFileSystems) || session.tree) return Nonsense("a mount");
    if (write) request.access = MountAccess::kReadWrite;
    session.is_btrfs = request.file_system == "btrfs";
    {
      ASSIGN(const UniqueFd file, OpenAgain(session.file.root.get(), O_RDWR));
      ASSIGN(session.loop, AttachLoop(file.get()));
    }
    request.device = session.loop.path;
    UniqueFd root;
    {
      const RetryGuard guard(worker_, request.device);
      ASSIGN(root, MountDevice(request));
    }
    StopRetries(request.device);
    session.loop.fd.Close();
    ASSIGN(session.tree, MountedTree::Open(std::move(root)));
    if (like != sessions_.end() && like->second.tree) {
      session.tree->handles().LearnFrom(like->second.tree->handles());
    }
    session.extents = std::make_unique<DeviceExtents>(
        session.tree->handles(),
        session.is_btrfs ? ExtentPlaces::kOfChunks : ExtentPlaces::kOfDevice);
    if (write) session.writer = std::make_unique<MountedWriter>(*session.tree);
    out.Put(session.tree->root());
    return {};
  }

  static Result<void> OpenFile(Session& session, Answer& answer) {
    if (session.tree) return Nonsense("a file that is mounted");
    ASSIGN(answer.descriptor, OpenAgain(session.file.root.get(), O_RDONLY));
    return {};
  }

  static Result<Object> Stat(Session& session, uint64_t inode) {
    return session.writer ? session.writer->Stat(inode) : session.tree->Stat(inode);
  }

  static Result<void> Look(MountOperation operation, Session& session, ByteReader& in,
                           ByteWriter& out) {
    MountedTree& tree = *session.tree;
    const auto inode = in.Take<uint64_t>();
    switch (operation) {
      case MountOperation::kStat: {
        ASSIGN(const Object object, Stat(session, inode));
        PutObject(object, out);
        return {};
      }
      case MountOperation::kLookup: {
        const std::string leaf = in.TakeText();
        ASSIGN(const std::optional<uint64_t> found, tree.LookupIn(inode, leaf));
        out.Put(found.value_or(0));
        return {};
      }
      case MountOperation::kList:
        return List(session, inode, in.Take<uint64_t>(), out);
      case MountOperation::kRead:
        return Read(tree, inode, in, out);
      case MountOperation::kStored: {
        ASSIGN(const std::vector<ByteRange> ranges, tree.StoredRanges(inode));
        PutRanges(ranges, out);
        return {};
      }
      case MountOperation::kExtents: {
        ASSIGN(const std::optional<std::vector<ExtentPlace>> places, session.extents->Of(inode));
        out.Put(static_cast<uint8_t>(places ? 1 : 0));
        if (places) PutPlaces(*places, out);
        return {};
      }
      default:
        return Nonsense("no known operation");
    }
  }

  static Result<void> List(Session& session, uint64_t directory, uint64_t first, ByteWriter& out) {
    if (first == 0 || session.listed != directory) {
      session.listed = 0;
      ASSIGN(session.listing, session.tree->List(directory));
      session.listed = directory;
    }
    const uint64_t begin = std::min<uint64_t>(first, session.listing.size());
    uint64_t end = begin;
    ByteWriter entries;
    while (end < session.listing.size() && end - begin < kMountEntriesMax &&
           entries.bytes().size() < kMountPieceBytes) {
      entries.PutText(session.listing[end].name);
      ASSIGN(const Object object, Stat(session, session.listing[end].inode));
      PutObject(object, entries);
      TRY(PutListedPlaces(session, object, entries));
      ++end;
    }
    out.Put(end - begin);
    out.PutBytes(entries.bytes());
    const bool more = end < session.listing.size();
    out.Put(static_cast<uint8_t>(more ? 1 : 0));
    if (!more) {
      session.listed = 0;
      session.listing.clear();
    }
    return {};
  }

  // Of most files, whoever lists them asks next where they lie.
  static Result<void> PutListedPlaces(Session& session, const Object& object, ByteWriter& out) {
    std::optional<std::vector<ExtentPlace>> places;
    if (object.kind == ObjectKind::kRegular && !session.writer) {
      ASSIGN(places, session.extents->Of(object.id.inode));
    }
    const bool listed = places && places->size() <= kListedPlacesMax;
    out.Put(static_cast<uint8_t>(listed ? 1 : 0));
    if (listed) PutPlaces(*places, out);
    return {};
  }

  static Result<void> Read(MountedTree& tree, uint64_t inode, ByteReader& in, ByteWriter& out) {
    const auto offset = in.Take<uint64_t>();
    const size_t length = std::min<uint64_t>(in.Take<uint64_t>(), kMountPieceBytes);
    std::vector<std::byte> content(length);
    ASSIGN(const size_t got, tree.Read(inode, offset, content));
    out.PutBytes(ConstBytes(content).first(got));
    return {};
  }

  static Result<void> Change(MountOperation operation, MountedWriter& writer, ByteReader& in,
                             ByteWriter& out) {
    const auto first = in.Take<uint64_t>();  // a directory or the object itself
    switch (operation) {
      case MountOperation::kCreate: {
        const std::string leaf = in.TakeText();
        ASSIGN(const NewObject object, TakeNewObject(in));
        if (!in.at_end()) break;
        ASSIGN(const uint64_t inode, writer.Create({first, leaf}, object));
        out.Put(inode);
        return {};
      }
      case MountOperation::kLink: {
        const std::string leaf = in.TakeText();
        const auto inode = in.Take<uint64_t>();
        if (!in.at_end()) break;
        return writer.Link({first, leaf}, inode);
      }
      case MountOperation::kRemove: {
        const std::string leaf = in.TakeText();
        if (!in.at_end()) break;
        return writer.Remove({first, leaf});
      }
      case MountOperation::kRename: {
        const std::string leaf = in.TakeText();
        const auto directory = in.Take<uint64_t>();
        const std::string new_leaf = in.TakeText();
        if (!in.at_end()) break;
        return writer.Rename({first, leaf}, {directory, new_leaf});
      }
      case MountOperation::kSetAttributes: {
        const Attributes attributes = TakeAttributes(in);
        if (!in.at_end()) break;
        return writer.SetAttributes(first, attributes);
      }
      default:
        return ChangeContent(operation, writer, first, in);
    }
    return Nonsense("a change that is cut short");
  }

  static Result<void> ChangeContent(MountOperation operation, MountedWriter& writer, uint64_t inode,
                                    ByteReader& in) {
    ASSIGN(const std::unique_ptr<ContentWriter> content, writer.OpenContent(inode));
    switch (operation) {
      case MountOperation::kWrite: {
        const auto offset = in.Take<uint64_t>();
        const std::string bytes = in.TakeText();
        if (!in.at_end()) break;
        return content->Write(offset, AsBytes(bytes));
      }
      case MountOperation::kResize: {
        const auto size = in.Take<uint64_t>();
        if (!in.at_end()) break;
        return content->Resize(size);
      }
      case MountOperation::kPunch: {
        const auto offset = in.Take<uint64_t>();
        const auto length = in.Take<uint64_t>();
        if (!in.at_end()) break;
        return content->Punch({offset, length});
      }
      case MountOperation::kFinishContent:
        return content->Finish();
      default:
        break;
    }
    return Nonsense("no known operation");
  }

  int worker_;
  std::map<uint32_t, Session> sessions_;
  uint32_t next_ = 1;
};

// False at the end of the stream.
Result<bool> ReceiveAll(int socket, Bytes to) {
  while (!to.empty()) {
    const ssize_t got = ::read(socket, to.data(), to.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read from the worker");
    if (got == 0) return false;
    to = to.subspan(static_cast<size_t>(got));
  }
  return true;
}

Result<void> SendAnswer(int socket, const Answer& answer) {
  std::vector<std::byte> length(sizeof(uint32_t));
  const std::vector<std::byte>& body = const_cast<Answer&>(answer).bytes.bytes();
  StoreLe<uint32_t>(length, 0, static_cast<uint32_t>(body.size()));
  std::array<iovec, 2> parts{
      {{length.data(), length.size()}, {const_cast<std::byte*>(body.data()), body.size()}}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  if (answer.descriptor) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int descriptor = answer.descriptor.get();
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  size_t left = length.size() + body.size();
  while (left != 0) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return ErrnoError(errno, "answer the worker");
    left -= static_cast<size_t>(sent);
    message.msg_control = nullptr;
    message.msg_controllen = 0;
    for (size_t skip = static_cast<size_t>(sent); iovec & part : parts) {
      const size_t here = std::min(skip, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + here;
      part.iov_len -= here;
      skip -= here;
    }
  }
  return {};
}

}  // namespace

Result<void> RunMountService(int socket) {
  Service service(socket);
  std::vector<std::byte> request;
  while (true) {
    std::array<std::byte, sizeof(uint32_t)> header{};
    ASSIGN(const bool more, ReceiveAll(socket, header));
    if (!more) return {};
    const auto length = LoadLe<uint32_t>(header, 0);
    if (length > kMountMessageBytesMax) {
      return Error{Errc::kLimit, "a request to the mounter that is too long"};
    }
    request.resize(length);
    ASSIGN(const bool whole, ReceiveAll(socket, request));
    if (!whole) return {};
    Answer answer;
    answer.bytes.Put(uint8_t{1});
    ByteReader in(request);
    const Result<void> done = service.Handle(in, answer);
    if (!done) {
      answer = Answer();
      answer.bytes.Put(uint8_t{0});
      PutError(done.error(), answer.bytes);
    }
    TRY(SendAnswer(socket, answer));
  }
}

}  // namespace mica::guest
