// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/cache_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

namespace mica::rebase {

namespace {

constexpr uint64_t kCacheBytesMax = uint64_t{4} << 30;

}  // namespace

std::optional<std::vector<char>> ReadCacheFile(const std::filesystem::path& file) {
  std::error_code failed;
  const uint64_t size = std::filesystem::file_size(file, failed);
  if (failed || size > kCacheBytesMax) return std::nullopt;
  std::vector<char> bytes(size);
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(bytes.data(), static_cast<std::streamsize>(size))) return std::nullopt;
  return bytes;
}

void KeepCacheFile(const std::filesystem::path& file, ConstBytes bytes) {
  std::filesystem::path temporary = file;
  temporary += fmt::format(".{}", ::getpid());
  std::ofstream stream(temporary, std::ios::binary);
  const std::string_view text = AsText(bytes);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  stream.close();
  std::error_code failed;
  if (stream) std::filesystem::rename(temporary, file, failed);
  if (!stream || failed) std::filesystem::remove(temporary, failed);
}

}  // namespace mica::rebase
