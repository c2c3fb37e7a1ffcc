// SPDX-License-Identifier: Apache-2.0
#include "engine/cache_limit.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace mica {
namespace {

class Pile final : public CacheLimit::Cache {
 public:
  explicit Pile(CacheLimit& limit) : limit_(limit) {}
  ~Pile() override { limit_.Remove(*this); }
  void Grow(size_t by) {
    bytes += by;
    limit_.Update(*this, bytes);
  }
  void TrimTo(size_t keep) noexcept override {
    ++trims;
    bytes = std::max(fixed, std::min(bytes, keep));
    limit_.Update(*this, bytes);
  }

  size_t bytes = 0;
  size_t fixed = 0;  // cannot be given back
  int trims = 0;

 private:
  CacheLimit& limit_;
};

TEST(CacheLimit, OneMayHaveNearlyAllWhileNobodyElseWantsIt) {
  CacheLimit limit(1000);
  Pile a(limit);
  a.Grow(990);
  EXPECT_EQ(a.trims, 0);
  a.Grow(20);
  EXPECT_EQ(a.bytes, 500u);
  EXPECT_EQ(limit.bytes(), 500u);
}

TEST(CacheLimit, ManyStayUnderItTogether) {
  CacheLimit limit(10'000);
  std::vector<std::unique_ptr<Pile>> piles;
  for (int i = 0; i < 100; ++i) piles.push_back(std::make_unique<Pile>(limit));
  for (int round = 0; round < 50; ++round) {
    for (const std::unique_ptr<Pile>& pile : piles) {
      pile->Grow(37);
      ASSERT_LE(limit.bytes(), 10'000u);
    }
  }
  piles.resize(50);
  size_t sum = 0;
  for (const std::unique_ptr<Pile>& pile : piles) sum += pile->bytes;
  EXPECT_EQ(limit.bytes(), sum);
}

TEST(CacheLimit, WhatCannotBeGivenBackIsBorne) {
  CacheLimit limit(100);
  Pile a(limit);
  Pile b(limit);
  a.fixed = 500;
  a.Grow(500);
  b.Grow(90);
  EXPECT_EQ(a.bytes, 500u);
  EXPECT_LE(b.bytes, 50u);
}

}  // namespace
}  // namespace mica
