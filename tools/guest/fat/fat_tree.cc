// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/fat/fat_tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/digest.h"
#include "tools/guest/fat/fat_layout.h"
#include "tools/guest/text.h"
#include "tools/guest/utf16.h"

namespace mica::guest {

namespace {

constexpr size_t kEntryBytes = 32;
constexpr uint8_t kLongName = 0x0f;  // attributes
constexpr uint8_t kLabel = 0x08;
constexpr uint8_t kDirectory = 0x10;
constexpr uint8_t kDeleted = 0xe5;
constexpr int kDepthMax = 64;
constexpr size_t kFilesMax = 100'000;
constexpr uint64_t kBytesMax = uint64_t{1} << 30;              // of all files
constexpr uint64_t kDirectoryBytesMax = 65'536 * kEntryBytes;  // as the specification has it

Error Corrupt(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("FAT file system: {}", what)};
}

// "NAME    EXT" to "NAME.EXT". Windows NT marks what is lower case in byte 12.
std::string ShortName(ConstBytes entry) {
  const auto part = [entry](size_t offset, size_t length, uint8_t lower_case) {
    std::string text(AsText(entry.subspan(offset, length)));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return (static_cast<uint8_t>(entry[12]) & lower_case) == 0 ? text : LowerCase(text);
  };
  const std::string name = part(0, 8, 0x08);
  const std::string extension = part(8, 3, 0x10);
  return extension.empty() ? name : name + "." + extension;
}

// The 13 units of UTF-16 in an entry of a long name.
void PrependPart(ConstBytes entry, std::vector<std::byte>& name) {
  std::vector<std::byte> part;
  for (const auto& [offset, length] : {std::pair<size_t, size_t>{1, 10}, {14, 12}, {28, 4}}) {
    const ConstBytes units = entry.subspan(offset, length);
    part.insert(part.end(), units.begin(), units.end());
  }
  name.insert(name.begin(), part.begin(), part.end());
}

class TreeReader {
 public:
  TreeReader(SyncDevice& device, const FatLayout& layout)
      : device_(device),
        layout_(layout),
        // Of a sound file system no cluster is read twice.
        clusters_left_(uint64_t{layout.clusters()} + 1) {}

  Result<FatTree> Run() {
    std::vector<std::byte> root;
    if (layout_.root_cluster() != 0) {
      ASSIGN(root, ReadChain(layout_.root_cluster(), kDirectoryBytesMax));
    } else {
      root.resize(layout_.root_range().length);
      TRY(device_.Read(layout_.root_range().offset, root));
    }
    TRY(ReadDirectory(root, "/", 0));
    return std::move(tree_);
  }

 private:
  Result<void> ReadDirectory(ConstBytes content, const std::string& prefix, int depth) {
    if (depth > kDepthMax) return Corrupt("directories nest too deep");
    std::vector<std::byte> long_name;
    for (; content.size() >= kEntryBytes; content = content.subspan(kEntryBytes)) {
      const ConstBytes entry = content.first(kEntryBytes);
      const auto first = static_cast<uint8_t>(entry[0]);
      const auto attributes = static_cast<uint8_t>(entry[11]);
      if (first == 0) break;
      if (first != kDeleted && attributes == kLongName) {
        if (long_name.size() > 2 * 13 * 20) return Corrupt("a name without an end");
        PrependPart(entry, long_name);
        continue;
      }
      const std::string name = long_name.empty() ? ShortName(entry) : DecodeUtf16(long_name);
      long_name.clear();
      if (first == kDeleted || (attributes & kLabel) != 0 || first == '.') continue;
      TRY(ReadEntry(entry, prefix + name, depth));
    }
    return {};
  }

  Result<void> ReadEntry(ConstBytes entry, const std::string& path, int depth) {
    if (tree_.size() >= kFilesMax) return Corrupt(fmt::format("more than {} files", kFilesMax));
    const uint32_t cluster =
        uint32_t{LoadLe<uint16_t>(entry, 20)} << 16 | LoadLe<uint16_t>(entry, 26);
    FatFile file;
    file.directory = (static_cast<uint8_t>(entry[11]) & kDirectory) != 0;
    if (file.directory) {
      tree_[path] = file;
      ASSIGN(const std::vector<std::byte> content, ReadChain(cluster, kDirectoryBytesMax));
      return ReadDirectory(content, path + "/", depth + 1);
    }
    file.size = LoadLe<uint32_t>(entry, 28);
    ASSIGN(file.digest, DigestOf(cluster, file.size));
    tree_[path] = file;
    return {};
  }

  Result<std::vector<uint32_t>> TakeChain(uint32_t first, uint64_t bytes_max) {
    const uint64_t most = DivideRoundUp(bytes_max, layout_.cluster_bytes());
    ASSIGN(std::vector<uint32_t> chain, layout_.Chain(first, std::min(most, clusters_left_)));
    clusters_left_ -= chain.size();
    return chain;
  }

  Result<std::vector<std::byte>> ReadChain(uint32_t first, uint64_t bytes_max) {
    ASSIGN(const std::vector<uint32_t> chain, TakeChain(first, bytes_max));
    std::vector<std::byte> content(chain.size() * layout_.cluster_bytes());
    for (size_t i = 0; i < chain.size(); ++i) {
      const Bytes part = Bytes(content).subspan(i * layout_.cluster_bytes());
      TRY(device_.Read(layout_.OffsetOf(chain[i]), part.first(layout_.cluster_bytes())));
    }
    return content;
  }

  Result<std::array<uint8_t, 16>> DigestOf(uint32_t first, uint64_t size) {
    if (size > bytes_left_) {
      return Error{Errc::kLimit,
                   fmt::format("FAT file system: files of more than {} bytes", kBytesMax)};
    }
    bytes_left_ -= size;
    StreamDigest digest;
    if (size > 0) {
      ASSIGN(const std::vector<uint32_t> chain, TakeChain(first, size));
      if (chain.size() * layout_.cluster_bytes() < size) return Corrupt("a file cut short");
      std::vector<std::byte> buffer(layout_.cluster_bytes());
      for (const uint32_t cluster : chain) {
        TRY(device_.Read(layout_.OffsetOf(cluster), buffer));
        const uint64_t part = std::min<uint64_t>(size, buffer.size());
        digest.Update(ConstBytes(buffer).first(part));
        size -= part;
      }
    }
    return digest.Finish();
  }

  SyncDevice& device_;
  const FatLayout& layout_;
  uint64_t clusters_left_;
  uint64_t bytes_left_ = kBytesMax;
  FatTree tree_;
};

}  // namespace

Result<FatTree> ReadFatTree(SyncDevice& device) {
  ASSIGN(const FatLayout layout, FatLayout::Read(device));
  return TreeReader(device, layout).Run();
}

std::vector<std::string> CompareFatTrees(const FatTree& before, const FatTree& after) {
  std::vector<std::string> changes;
  for (const auto& [path, file] : after) {
    const auto old = before.find(path);
    if (old == before.end()) {
      changes.push_back("added " + path);
    } else if (!(old->second == file)) {
      changes.push_back("changed " + path);
    }
  }
  for (const auto& [path, file] : before) {
    if (!after.contains(path)) changes.push_back("removed " + path);
  }
  return changes;
}

}  // namespace mica::guest
