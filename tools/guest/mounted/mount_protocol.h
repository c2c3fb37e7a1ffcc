// SPDX-License-Identifier: Apache-2.0
// What a worker and its mounter say to each other over a stream socket: requests and answers in
// turn, each a length (u32, of what follows) and a message. A request is an operation (u8), a
// session (u32; not of kAttach) and arguments; an answer is 1 and the result, or 0 and an error. A
// descriptor travels with the length of an answer. Integers are little-endian.
//
//   operation        arguments                         result
//   kAttach                                            session (u32); descriptor: /dev/fuse
//   kMount           file system (text), write (u8),   root inode (u64)
//                    session whose inodes it has (u32)
//   kFile                                              descriptor: the volume as a file, to read
//   kDetach
//   kStat            inode                             object
//   kLookup          directory, leaf                   inode; 0: none
//   kList            directory, first entry            entries (name, object, known (u8), places);
//   more (u8) kRead            inode, offset, length             bytes kStored          inode
//   ranges kExtents         inode                             known (u8), places kCreate directory,
//   leaf, new object       inode kLink            directory, leaf, inode kRemove directory, leaf
//   kRename          directory, leaf, directory, leaf
//   kSetAttributes   inode, attributes
//   kWrite           inode, offset, bytes
//   kResize          inode, size
//   kPunch           inode, offset, length
//   kFinishContent   inode
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/byte_stream.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

enum class MountOperation : uint8_t {
  kAttach,
  kMount,
  kFile,
  kDetach,
  kStat,
  kLookup,
  kList,
  kRead,
  kStored,
  kExtents,
  kCreate,
  kLink,
  kRemove,
  kRename,
  kSetAttributes,
  kWrite,
  kResize,
  kPunch,
  kFinishContent,
};

// Larger messages are not believed.
inline constexpr uint32_t kMountMessageBytesMax = 64U << 20;
inline constexpr size_t kMountPieceBytes = size_t{1} << 20;  // of content at a time
inline constexpr size_t kMountEntriesMax = 2048;             // of a listing at a time

void PutError(const Error& error, ByteWriter& out);
Error TakeError(ByteReader& in);

void PutNewObject(const NewObject& object, ByteWriter& out);
Result<NewObject> TakeNewObject(ByteReader& in);

}  // namespace mica::guest
