// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/testing/fake_tree.h"

#include <algorithm>
#include <cstring>

#include "engine/base/check.h"

namespace mica::rebase {
namespace {

using guest::ObjectKind;

void Sync(FakeObject& object) {
  object.object.size = object.object.kind == ObjectKind::kSymlink
                           ? object.object.symlink_target.size()
                           : object.content.size();
}

bool SameAttributes(const FakeObject& a, const FakeObject& b) {
  guest::Attributes other = b.object.attributes;
  if (a.object.kind == ObjectKind::kDirectory) other.modified = a.object.attributes.modified;
  return a.object.attributes == other;
}

}  // namespace

FakeTree::FakeTree() {
  FakeObject root;
  root.object.kind = ObjectKind::kDirectory;
  root.object.id.inode = kRoot;
  root.object.attributes.mode = 0755;
  objects_.emplace(kRoot, root);
}

uint64_t FakeTree::Create(ObjectKind kind) {
  uint64_t inode = 11;
  while (objects_.contains(inode)) ++inode;
  FakeObject object;
  object.object.kind = kind;
  object.object.id = {inode, next_generation_++, {Tick(), 0}};
  object.object.attributes.mode = kind == ObjectKind::kDirectory ? 0755 : 0644;
  object.object.attributes.modified = {Tick(), 0};
  objects_.emplace(inode, std::move(object));
  return inode;
}

std::optional<uint64_t> FakeTree::Find(std::string_view path) const {
  uint64_t at = kRoot;
  while (true) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    if (path.empty()) return at;
    const std::string leaf(path.substr(0, path.find('/')));
    path.remove_prefix(leaf.size());
    const FakeObject& directory = objects_.at(at);
    const auto entry = directory.entries.find(leaf);
    if (entry == directory.entries.end()) return std::nullopt;
    at = entry->second;
  }
}

FakeTree::Place FakeTree::PlaceOf(std::string_view path) const {
  const size_t slash = path.rfind('/');
  const auto directory = Find(path.substr(0, slash));
  MICA_CHECK(directory.has_value());
  return {*directory, std::string(path.substr(slash + 1))};
}

void FakeTree::Enter(const Place& place, uint64_t inode) {
  FakeObject& directory = objects_.at(place.directory);
  MICA_CHECK(directory.object.kind == ObjectKind::kDirectory);
  MICA_CHECK(directory.entries.emplace(place.leaf, inode).second);
  ++objects_.at(inode).object.link_count;
  directory.object.attributes.modified = {Tick(), 0};
}

void FakeTree::Unlink(uint64_t directory, const std::string& leaf) {
  FakeObject& holder = objects_.at(directory);
  const auto entry = holder.entries.find(leaf);
  MICA_CHECK(entry != holder.entries.end());
  const uint64_t inode = entry->second;
  holder.entries.erase(entry);
  holder.object.attributes.modified = {Tick(), 0};
  FakeObject& object = objects_.at(inode);
  if (--object.object.link_count > 0) return;
  while (!object.entries.empty()) Unlink(inode, std::string(object.entries.begin()->first));
  objects_.erase(inode);
}

void FakeTree::Mkdir(std::string_view path) {
  const Place place = PlaceOf(path);
  Enter(place, Create(ObjectKind::kDirectory));
}

void FakeTree::MakeParents(std::string_view path) {
  for (size_t slash = path.find('/', 1); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (!Has(path.substr(0, slash))) Mkdir(path.substr(0, slash));
  }
}

void FakeTree::Write(std::string_view path, std::string_view content) {
  if (!Has(path)) {
    const Place place = PlaceOf(path);
    Enter(place, Create(ObjectKind::kRegular));
  }
  FakeObject& object = objects_.at(*Find(path));
  MICA_CHECK(object.object.kind == ObjectKind::kRegular);
  object.content = content;
  object.object.attributes.modified = {Tick(), 0};
  Sync(object);
}

void FakeTree::Replace(std::string_view path, std::string_view content) {
  const guest::Attributes attributes = At(path).object.attributes;
  const std::string temporary = std::string(path) + ".new";
  Write(temporary, content);
  const guest::Timestamp modified = At(temporary).object.attributes.modified;
  Attributes(temporary) = attributes;
  Attributes(temporary).modified = modified;
  Rename(temporary, path);
}

void FakeTree::Symlink(std::string_view path, std::string_view target) {
  const Place place = PlaceOf(path);
  const uint64_t inode = Create(ObjectKind::kSymlink);
  Enter(place, inode);
  objects_.at(inode).object.symlink_target = target;
  Sync(objects_.at(inode));
}

void FakeTree::Link(std::string_view from, std::string_view to) {
  Enter(PlaceOf(to), *Find(from));
}

void FakeTree::Rename(std::string_view from, std::string_view to) {
  const uint64_t inode = *Find(from);
  if (Has(to)) {
    MICA_CHECK(At(to).object.kind != ObjectKind::kDirectory);
    const Place old = PlaceOf(to);
    Unlink(old.directory, old.leaf);
  }
  Enter(PlaceOf(to), inode);
  const Place place = PlaceOf(from);
  objects_.at(place.directory).entries.erase(place.leaf);
  --objects_.at(inode).object.link_count;
}

void FakeTree::Remove(std::string_view path) {
  const Place place = PlaceOf(path);
  Unlink(place.directory, place.leaf);
}

guest::Attributes& FakeTree::Attributes(std::string_view path) {
  return objects_.at(*Find(path)).object.attributes;
}

const std::string& FakeTree::Content(std::string_view path) const {
  const auto inode = Find(path);
  MICA_CHECK(inode.has_value());
  return objects_.at(*inode).content;
}

bool FakeTree::CanHold(const guest::Xattrs& xattrs) const {
  size_t bytes = 0;
  for (const auto& [name, value] : xattrs) bytes += name.size() + value.size();
  return bytes <= xattr_bytes_max_;
}

std::map<std::string, uint64_t> FakeTree::Paths() const {
  std::map<std::string, uint64_t> paths;
  for (const auto& [inode, names] : Names()) {
    for (const guest::Name& name : names) paths.emplace(name.path, inode);
  }
  return paths;
}

std::map<uint64_t, std::vector<guest::Name>> FakeTree::Names() const {
  std::map<uint64_t, std::vector<guest::Name>> names;
  names[kRoot] = {{kRoot, "", "/", objects_.at(kRoot).object.id.generation}};
  std::vector<std::pair<uint64_t, std::string>> open = {{kRoot, ""}};
  while (!open.empty()) {
    const auto [inode, path] = open.back();
    open.pop_back();
    const FakeObject& directory = objects_.at(inode);
    for (const auto& [leaf, child] : directory.entries) {
      const std::string child_path = path + "/" + leaf;
      names[child].push_back({inode, leaf, child_path, directory.object.id.generation});
      if (objects_.at(child).object.kind == ObjectKind::kDirectory) {
        open.emplace_back(child, child_path);
      }
    }
  }
  for (auto& item : names) {
    std::ranges::sort(item.second, {}, [](const guest::Name& name) { return name.path; });
  }
  return names;
}

guest::ChangeSet DiffTrees(const FakeTree& before, const FakeTree& after) {
  guest::ChangeSet changes;
  const auto names_before = before.Names();
  const auto names_after = after.Names();
  for (const auto& [inode, old] : before.objects()) {
    const auto at = after.objects().find(inode);
    guest::ChangedObject change;
    change.before = old.object;
    change.names_before = names_before.at(inode);
    if (at == after.objects().end() || at->second.object.id != old.object.id) {
      changes.objects.push_back(std::move(change));
      continue;
    }
    const FakeObject& now = at->second;
    change.after = now.object;
    change.names_after = names_after.at(inode);
    change.content_changed = old.content != now.content;
    change.attributes_changed = !SameAttributes(old, now);
    // In steps of 4 bytes, so that there are several ranges.
    for (size_t i = 0; i < now.content.size(); i += 4) {
      if (i < old.content.size() && old.content.substr(i, 4) == now.content.substr(i, 4)) continue;
      change.content_ranges.push_back({i, std::min<size_t>(4, now.content.size() - i)});
    }
    if (change.content_changed || change.attributes_changed || change.names_changed()) {
      changes.objects.push_back(std::move(change));
    }
  }
  for (const auto& [inode, now] : after.objects()) {
    const auto at = before.objects().find(inode);
    if (at != before.objects().end() && at->second.object.id == now.object.id) continue;
    guest::ChangedObject change;
    change.after = now.object;
    change.names_after = names_after.at(inode);
    changes.objects.push_back(std::move(change));
  }
  std::ranges::stable_sort(changes.objects, {}, [](const guest::ChangedObject& change) {
    return change.before ? change.before->id.inode : change.after->id.inode;
  });
  return changes;
}

Result<const FakeObject*> FakeVolume::Get(uint64_t inode) const {
  const auto at = tree_.objects().find(inode);
  if (at == tree_.objects().end()) return Error{Errc::kCorrupt, "no such inode"};
  return &at->second;
}

Result<guest::Object> FakeVolume::Stat(uint64_t inode) {
  ASSIGN(const FakeObject* object, Get(inode));
  return object->object;
}

Result<std::optional<uint64_t>> FakeVolume::LookupIn(uint64_t directory, std::string_view leaf) {
  ASSIGN(const FakeObject* object, Get(directory));
  const auto at = object->entries.find(std::string(leaf));
  if (at == object->entries.end()) return std::optional<uint64_t>();
  return std::optional<uint64_t>(at->second);
}

Result<std::vector<guest::DirectoryEntry>> FakeVolume::List(uint64_t directory) {
  ASSIGN(const FakeObject* object, Get(directory));
  std::vector<guest::DirectoryEntry> entries;
  for (const auto& [leaf, inode] : object->entries) {
    entries.push_back({leaf, inode, tree_.At(inode).object.kind});
  }
  return entries;
}

Result<size_t> FakeVolume::Read(uint64_t inode, uint64_t offset, Bytes buffer) {
  ASSIGN(const FakeObject* object, Get(inode));
  if (offset >= object->content.size()) return size_t{0};
  const size_t size = std::min<size_t>(buffer.size(), object->content.size() - offset);
  std::memcpy(buffer.data(), object->content.data() + offset, size);
  return size;
}

Result<std::vector<ByteRange>> FakeVolume::StoredRanges(uint64_t inode) {
  ASSIGN(const FakeObject* object, Get(inode));
  return std::vector<ByteRange>{{0, object->content.size()}};
}

}  // namespace mica::rebase
