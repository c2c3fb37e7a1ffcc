// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

namespace mica {

// A map of limited cost: what was not asked for longest goes first. Not safe across threads.
template <class Key, class Value, class Hash = std::hash<Key>>
class LruMap {
 public:
  explicit LruMap(size_t cost_max) : cost_max_(cost_max) {}

  // Null when it is not there; otherwise valid until the next Insert or SetCostMax.
  const Value* Find(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    items_.splice(items_.begin(), items_, found->second);
    return &found->second->value;
  }

  // Replaces what is there under the same key. A value that costs more than the whole map may is
  // not kept.
  void Insert(const Key& key, Value value, size_t cost) {
    if (const auto found = index_.find(key); found != index_.end()) Remove(found->second);
    items_.push_front(Item{key, std::move(value), cost});
    index_.emplace(key, items_.begin());
    cost_ += cost;
    Shrink();
  }

  void SetCostMax(size_t cost_max) {
    cost_max_ = cost_max;
    Shrink();
  }
  [[nodiscard]] size_t cost() const noexcept { return cost_; }
  [[nodiscard]] size_t size() const noexcept { return index_.size(); }

 private:
  struct Item {
    Key key;
    Value value;
    size_t cost;
  };
  using Items = std::list<Item>;

  void Remove(typename Items::iterator item) {
    cost_ -= item->cost;
    index_.erase(item->key);
    items_.erase(item);
  }
  void Shrink() {
    while (cost_ > cost_max_) Remove(std::prev(items_.end()));
  }

  size_t cost_max_;
  size_t cost_ = 0;
  Items items_;  // asked for last first
  std::unordered_map<Key, typename Items::iterator, Hash> index_;
};

}  // namespace mica
