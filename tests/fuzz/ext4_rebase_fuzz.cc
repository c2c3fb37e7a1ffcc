// SPDX-License-Identifier: Apache-2.0
// What the worker of a rebase does with a VM whose ext file system says anything: replay its
// journal, diff it against the master, plan, carry the plan out on a patched master, and compare.
// Each ends with a result or an error.
//
// The input says what is written over the VM's volume: one byte for the kind of file system, then
// records of a form (1 byte), a place (3 bytes, modulo the volume's size) and what the form needs.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/check.h"
#include "tests/support/memory_device.h"
#include "tools/cli/scratch_folder.h"
#include "tools/guest/ext4/apply_and_verify.h"
#include "tools/guest/ext4/view.h"
#include "tools/rebase/job/volume_diff.h"
#include "tools/rebase/planner.h"
#include "tools/rebase/policy_parse.h"

namespace {

using namespace mica;         // NOLINT(google-build-using-namespace)
using namespace mica::guest;  // NOLINT(google-build-using-namespace)
using mica::testing::MemoryDevice;
using std::filesystem::path;

constexpr uint64_t kVolumeBytes = 3 << 20;
constexpr uint64_t kOverlayBytes = 64 << 20;

// With mke2fs and debugfs, whose times and identifiers are told, so that an input always means the
// same.
class Workshop {
 public:
  Workshop() {
    ::setenv("E2FSPROGS_FAKE_TIME", "1700000000", 1);
    Text("small", "a few words\n");
    Text("large", std::string(70'000, 'l'));
    Text("value", std::string(500, 'v'));
    const std::string accounts = "root:x:0:0::/root:/bin/sh\n";
    Text("accounts", accounts);
    Text("our_accounts", accounts + "user:x:1000:1000::/home:/bin/sh\n");
    Text("their_accounts", accounts + "daemon:x:100:100::/:/bin/false\n");
  }

  void MakeFs(const std::string& image, const std::string& options) const {
    Run("mke2fs -q -F " + options +
        " -N 128 -U 00112233-4455-6677-8899-aabbccddeeff -E "
        "hash_seed=00112233-4455-6677-8899-aabbccddeeff,root_owner=0:0 " +
        image + " 3M >log");
  }
  void Change(const std::string& image, const std::string& commands) const {
    Text("commands", commands);
    Run("debugfs -w -f commands " + image + " >log 2>&1");
  }
  void Copy(const std::string& from, const std::string& to) const { Run("cp " + from + " " + to); }
  [[nodiscard]] std::vector<std::byte> Content(const std::string& image) const {
    std::ifstream file(folder_ / image, std::ios::binary);
    const std::vector<char> read{std::istreambuf_iterator<char>(file), {}};
    const auto bytes = std::as_bytes(std::span(read));
    MICA_CHECK(bytes.size() == kVolumeBytes);
    return {bytes.begin(), bytes.end()};
  }

 private:
  void Text(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  void Run(const std::string& command) const {
    MICA_CHECK(std::system(("cd " + folder_.string() + " && " + command).c_str()) == 0);
  }

  ScratchFolder scratch_ = ScratchFolder::Make().value();
  path folder_ = scratch_.path();
};

constexpr const char* kBaseCommands = R"(mkdir /etc
mkdir /home
mkdir /many
cd /etc
write accounts passwd
cd /home
write small small
write large large
symlink short /etc/passwd
symlink long /a-long-target/a-long-target/a-long-target/a-long-target/a-long-target
mknod pipe p
ea_set small user.short value
ea_set -f value small user.long
cd /many
write small one
write large two
write small three
ln /many/one /home/also-one
sif /many/one links_count 2
)";
// The blocks that the journal of a VM that was not shut down writes again.
constexpr const char* kOurCommands = R"(cd /etc
rm passwd
write our_accounts passwd
cd /home
write small mine
rm /many/three
mkdir new
cd new
write large large
jo
jw -b 2000,2001,2002 value
jc
)";
constexpr const char* kTheirCommands = R"(cd /etc
rm passwd
write their_accounts passwd
write small added
rm /many/two
mkdir /many/directory
)";

// A master, a patched one, and a VM of the first.
struct Disks {
  MemoryDevice base{kVolumeBytes};
  MemoryDevice target{kVolumeBytes};
  std::vector<std::byte> vm;
  std::vector<ByteRange> touched;  // by the VM
  std::unique_ptr<Ext4View> base_view;
  std::unique_ptr<Ext4View> target_view;
  Ext4Index base_index;
  Ext4Index target_index;
  rebase::VolumeDiff theirs;
};

const std::vector<ByteRange> kWhole = {{0, kVolumeBytes}};

std::vector<ByteRange> Differences(const std::vector<std::byte>& a,
                                   const std::vector<std::byte>& b) {
  constexpr uint64_t kBlock = 1024;
  std::vector<ByteRange> ranges;
  for (uint64_t at = 0; at < a.size(); at += kBlock) {
    const ConstBytes of_a = ConstBytes(a).subspan(at, kBlock);
    if (!std::ranges::equal(of_a, ConstBytes(b).subspan(at, kBlock)))
      ranges.push_back({at, kBlock});
  }
  return ranges;
}

class Lab {
 public:
  Lab() {
    policy_.Push(rebase::BuiltinLinuxPolicy());
    const Workshop workshop;
    for (const char* options :
         {"-t ext4 -b 1024 -O ^metadata_csum,^64bit", "-t ext3 -b 1024",
          "-t ext4 -b 1024 -I 512 -O inline_data,ea_inode,^metadata_csum", "-t ext4 -b 1024"}) {
      disks_.push_back(Make(workshop, options));
      // Undamaged, it gets through.
      const std::byte kind[] = {static_cast<std::byte>(disks_.size() - 1)};
      MICA_CHECK(Rebase(kind));
    }
  }

  // Whether it got to the end.
  bool Rebase(ConstBytes input) {
    if (input.empty()) return false;
    Disks& disks = *disks_[static_cast<size_t>(input[0]) % disks_.size()];
    MemoryDevice vm(kVolumeBytes);
    vm.bytes = disks.vm;
    std::vector<ByteRange> touched = disks.touched;
    Damage(vm.bytes, input.subspan(1), touched);
    const auto ours = Ext4View::Open(loop_, vm, kWhole);
    if (!ours) return false;
    rebase::VolumeDiffer differ(*disks.base_view, disks.base_index);
    const auto changes = differ.To(**ours, std::move(touched));
    if (!changes) return false;
    const auto planned = rebase::MakePlan(
        {changes->changes, disks.theirs.changes, disks.base_view->volume(), (*ours)->volume(),
         disks.target_view->volume(), *disks.theirs.lineage, policy_, nullptr, nullptr, ""});
    return planned && CarryOut(disks, planned->plan, (*ours)->volume());
  }

 private:
  std::unique_ptr<Disks> Make(const Workshop& workshop, const std::string& options) {
    auto disks = std::make_unique<Disks>();
    workshop.MakeFs("base", options);
    workshop.Change("base", kBaseCommands);
    workshop.Copy("base", "vm");
    workshop.Change("vm", kOurCommands);
    workshop.Copy("base", "target");
    workshop.Change("target", kTheirCommands);
    disks->base.bytes = workshop.Content("base");
    disks->target.bytes = workshop.Content("target");
    disks->vm = workshop.Content("vm");
    disks->touched = Differences(disks->base.bytes, disks->vm);
    disks->base_view = Ext4View::Open(loop_, disks->base, kWhole).value();
    disks->target_view = Ext4View::Open(loop_, disks->target, kWhole).value();
    disks->base_index = IndexOf(*disks->base_view);
    disks->target_index = IndexOf(*disks->target_view);
    rebase::VolumeDiffer differ(*disks->base_view, disks->base_index);
    const auto touched = Differences(disks->base.bytes, disks->target.bytes);
    disks->theirs = differ.To(*disks->target_view, touched).value();
    return disks;
  }

  static Ext4Index IndexOf(Ext4View& view) {
    return BuildIndex(view.volume().fs(), view.volume().io()).value();
  }

  static void Damage(std::vector<std::byte>& bytes, ConstBytes records,
                     std::vector<ByteRange>& touched) {
    constexpr uint32_t kExtremes[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff, 0x10000, 2};
    constexpr size_t kRecordBytes = 8;
    constexpr uint64_t kPieceBytes = 128;
    for (; records.size() >= kRecordBytes; records = records.subspan(kRecordBytes)) {
      const auto form = static_cast<uint8_t>(records[0]);
      const uint64_t place = (LoadLe<uint32_t>(records, 0) >> 8) % (kVolumeBytes - kPieceBytes);
      const Bytes at = Bytes(bytes).subspan(place, kPieceBytes);
      const auto value = LoadLe<uint32_t>(records, 4);
      switch (form % 4) {
        case 0:
          at[0] = static_cast<std::byte>(value);
          break;
        case 1:
          StoreLe(at, 0, value);
          break;
        case 2:
          StoreLe(at, 0, kExtremes[value % std::size(kExtremes)]);
          break;
        default:  // a piece of another structure
          std::ranges::copy(std::vector<std::byte>(
                                bytes.begin() + value % (kVolumeBytes - kPieceBytes),
                                bytes.begin() + value % (kVolumeBytes - kPieceBytes) + kPieceBytes),
                            at.begin());
      }
      touched.push_back({place, kPieceBytes});
    }
  }

  bool CarryOut(Disks& disks, const Plan& plan, Volume& ours) {
    OverlayDevice result(disks.target, kOverlayBytes);
    SyncDevice device(loop_, result);
    Ext4Options writable;
    writable.access = Ext4Access::kReadWrite;
    const auto volume = Ext4Volume::Open(device, writable);
    if (!volume) return false;
    ApplyOptions options;
    options.now.seconds = 1'700'000'000;
    const auto applied = ApplyPlan({plan, **volume, disks.target_index, ours}, options);
    const Result<void> closed = (*volume)->Close();
    if (!applied || !closed) return false;
    const auto view = Ext4View::Open(loop_, result, kWhole);
    MICA_CHECK(view.has_value());  // what was written is our own work
    const auto found =
        VerifyResult({plan, *applied, disks.target_view->volume(), disks.target_index,
                      (*view)->volume(), result.OverlaidRanges(), ours});
    return found && found->empty();
  }

  MemoryLoop loop_;
  rebase::Policy policy_;
  std::vector<std::unique_ptr<Disks>> disks_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Lab lab;
  static_cast<void>(lab.Rebase(std::as_bytes(std::span(data, size))));
  return 0;
}
