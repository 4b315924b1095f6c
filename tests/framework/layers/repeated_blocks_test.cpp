#include "framework/layers/repeated_blocks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace millrace::test {
namespace {

std::uintptr_t end_of(const std::vector<BlockLife>& blocks,
                      const std::vector<std::uintptr_t>& addresses) {
  std::uintptr_t end = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    end = std::max(end, addresses[i] + blocks[i].size);
  return end;
}

bool apart(AddressRange a, AddressRange b) { return a.end <= b.begin || b.end <= a.begin; }

/// A chain's step: what layer i keeps (`kept`) until its backward pass, beside what it needs for a
/// while in both passes (`scratch`).
std::vector<BlockLife> step_of(const std::vector<std::size_t>& kept,
                               const std::vector<std::size_t>& scratch) {
  const auto layers = static_cast<std::int64_t>(kept.size());
  std::vector<BlockLife> blocks;
  for (std::int64_t i = 0; i < layers; ++i) {
    const auto l = static_cast<std::size_t>(i);
    const std::int64_t forward = 4 * i, backward = 4 * (2 * layers - i);
    blocks.push_back({kept[l], forward, backward + 3});
    blocks.push_back({scratch[l], forward + 1, forward + 2});
    blocks.push_back({scratch[l], backward + 1, backward + 2});
  }
  return blocks;
}

TEST(LayOut, shares_addresses_between_lives_that_do_not_overlap) {
  const std::vector<BlockLife> blocks = {{10, 0, 1}, {10, 1, 2}, {4, 0, 2}, {6, 2, 3}};
  const auto addresses = lay_out(blocks, 100, {});
  EXPECT_EQ(addresses, (std::vector<std::uintptr_t>{100, 100, 110, 100}));
}

TEST(LayOut, goes_around_what_is_occupied) {
  const auto addresses = lay_out({{10, 0, 9}, {3, 0, 9}}, 100, {{104, 106}, {120, 130}});
  EXPECT_EQ(addresses, (std::vector<std::uintptr_t>{106, 100}));
}

TEST(LayOut, takes_little_more_than_is_in_use_at_a_time_in_a_chain) {
  const auto blocks = step_of({6, 5, 8, 5, 5}, {24, 17, 11, 13, 10});
  std::size_t most = 0;
  for (const BlockLife& at : blocks) {
    std::size_t in_use = 0;
    for (const BlockLife& block : blocks)
      if (block.taken <= at.taken && at.taken < block.given) in_use += block.size;
    most = std::max(most, in_use);
  }
  EXPECT_LE(end_of(blocks, lay_out(blocks, 0, {})), most * 6 / 5);
}

TEST(LayOut, keeps_any_blocks_apart) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<BlockLife> blocks;
    for (int i = 0; i < 40; ++i) {
      const std::int64_t taken = random() % 80;
      blocks.push_back({1 + random() % 30, taken, taken + 1 + random() % 40});
    }
    const AddressRange occupied{10 + random() % 50, 70};
    const auto addresses = lay_out(blocks, 5, {occupied});
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const AddressRange at{addresses[i], addresses[i] + blocks[i].size};
      ASSERT_GE(at.begin, 5U);
      ASSERT_TRUE(apart(at, occupied));
      for (std::size_t j = 0; j < i; ++j)
        if (blocks[i].overlaps(blocks[j]))
          ASSERT_TRUE(apart(at, {addresses[j], addresses[j] + blocks[j].size}));
    }
  }
}

/// Takes blocks of these sizes at these addresses one after the other, then gives them.
void take_all(RepeatedBlocks& blocks, const std::vector<AddressRange>& ranges) {
  for (const AddressRange& range : ranges) blocks.taken(range.begin, range.size());
  for (const AddressRange& range : ranges) blocks.given(range.begin);
}

TEST(RepeatedBlocks, knows_places_after_the_first_round) {
  RepeatedBlocks blocks;
  take_all(blocks, {{0, 50}});  // no round yet
  EXPECT_FALSE(blocks.begin_round({}));
  EXPECT_EQ(blocks.next_place(10), 0U);
  blocks.taken(100, 10);
  blocks.given(100);
  blocks.taken(200, 20);
  EXPECT_TRUE(blocks.begin_round({}));
  EXPECT_EQ(blocks.end(), 120U);
  EXPECT_EQ(blocks.next_place(11), 0U);  // another block than the round had first
  EXPECT_EQ(blocks.next_place(10), 100U);
  blocks.taken(100, 10);
  EXPECT_EQ(blocks.next_place(20), 100U);
  blocks.end_round();
  EXPECT_EQ(blocks.next_place(20), 0U);
}

TEST(RepeatedBlocks, keeps_its_places_in_a_round_that_is_another) {
  RepeatedBlocks blocks;
  blocks.begin_round({});
  take_all(blocks, {{100, 110}, {200, 220}});
  EXPECT_TRUE(blocks.begin_round({}));
  take_all(blocks, {{100, 105}, {200, 210}});  // a last batch with fewer samples
  EXPECT_FALSE(blocks.begin_round({}));
  EXPECT_NE(blocks.next_place(10), 0U);
  take_all(blocks, {{100, 110}, {200, 220}});
  EXPECT_FALSE(blocks.begin_round({}));
  for (int round = 0; round < 2; ++round) {  // smaller ones from now on
    take_all(blocks, {{100, 105}, {200, 210}});
    EXPECT_EQ(blocks.begin_round({}), round == 1);
  }
  EXPECT_EQ(blocks.next_place(10), 0U);
  EXPECT_NE(blocks.next_place(5), 0U);
}

TEST(RepeatedBlocks, lays_no_endless_round_out) {
  RepeatedBlocks blocks;
  blocks.begin_round({});
  for (int i = 0; i < 100'000; ++i) take_all(blocks, {{100, 110}});
  EXPECT_FALSE(blocks.begin_round({}));
  EXPECT_EQ(blocks.next_place(10), 0U);
}

TEST(RepeatedBlocks, gives_no_places_that_are_worse_than_the_rounds) {
  RepeatedBlocks blocks;
  blocks.begin_round({});
  take_all(blocks, {{100, 110}});
  EXPECT_FALSE(blocks.begin_round({{95, 105}}));  // it would go behind these
  EXPECT_EQ(blocks.next_place(10), 0U);
}

}  // namespace
}  // namespace millrace::test
