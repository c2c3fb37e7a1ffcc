// SPDX-License-Identifier: Apache-2.0
// For tests of the writing side: file systems of every kind that must be supported, and the verdict
// of the real e2fsck.
#pragma once

#include <string>
#include <vector>

#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/ext4/writer.h"

namespace mica::guest::testing {

struct MkfsVariant {
  std::string name;
  std::string options;
  uint64_t size_bytes = 64 << 20;
};
// For the names of parameterised tests.
void PrintTo(const MkfsVariant& variant, std::ostream* out);

const std::vector<MkfsVariant>& AllVariants();

// A fresh file system; `source` is a folder to populate it with, or empty.
void MakeFs(const std::string& image, const MkfsVariant& variant, const std::string& source = "");

// Fails the test with e2fsck's words unless it finds nothing (e2fsck -fn exits with 0).
void ExpectClean(const std::string& image);

// The output of a command, whatever its status.
std::string OutputOf(const std::string& command);

// A volume open for writing with a writer on it. Finish closes the volume and checks it.
class WriteSession {
 public:
  explicit WriteSession(const std::string& image);
  [[nodiscard]] Ext4Writer& writer() { return *writer_; }
  [[nodiscard]] Ext4Volume& volume() { return *image_->volume; }
  void Finish();

 private:
  std::string path_;
  std::unique_ptr<OpenImage> image_;
  std::unique_ptr<Ext4Writer> writer_;
};

inline constexpr Timestamp kTestNow{1'600'000'000, 123'456'789};

NewObject MakeNew(ObjectKind kind, uint32_t mode = 0644);
// Creates a regular file with this content; its inode (0 and a failed test on error).
uint64_t WriteFile(Ext4Writer& writer, const Place& at, std::string_view content);
std::string Pattern(uint64_t seed, size_t size);

}  // namespace mica::guest::testing
