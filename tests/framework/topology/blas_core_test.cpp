#include "framework/topology/blas_core.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace millrace {
namespace {

constexpr VectorUnits kNone{}, kAvx2{true, false}, kAvx512{true, true};

TEST(FasterBlasCore, ReplacesKernelsWithoutAvx2ByThoseOfTheCpu) {
  EXPECT_EQ(faster_blas_core("Prescott", kAvx512), "SkylakeX");
  EXPECT_EQ(faster_blas_core("Prescott", kAvx2), "Haswell");
  EXPECT_EQ(faster_blas_core("Sandybridge", kAvx2), "Haswell");
}

TEST(FasterBlasCore, LeavesWhatOpenBlasKnows) {
  for (const char* core : {"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"})
    EXPECT_EQ(faster_blas_core(core, kAvx512), std::nullopt) << core;
  EXPECT_EQ(faster_blas_core("Prescott", kNone), std::nullopt);
  EXPECT_EQ(faster_blas_core("", kAvx512), std::nullopt) << "another BLAS";
}

TEST(FasterBlasCore, NamesAreReadInEitherCase) {
  EXPECT_EQ(faster_blas_core("HASWELL", kAvx2), std::nullopt);
  EXPECT_EQ(faster_blas_core("prescott", kAvx2), "Haswell");
}

TEST(UsesWidest, SaysWhichValuesOfTheVariableSlowNothing) {
  EXPECT_TRUE(uses_widest("SkylakeX", kAvx512));
  EXPECT_TRUE(uses_widest("Haswell", kAvx2));
  EXPECT_FALSE(uses_widest("Haswell", kAvx512));
  EXPECT_FALSE(uses_widest("SkylakeX", kAvx2)) << "it would not run";
  EXPECT_FALSE(uses_widest("", kAvx512));
}

TEST(FasterBlasCore, DoesNotHearTheUsersVariableAndKeepsIt) {
  const auto by_itself = faster_blas_core();
  const ScopedVariable set("OPENBLAS_CORETYPE", "Prescott");
  EXPECT_EQ(faster_blas_core(), by_itself);
  EXPECT_STREQ(std::getenv("OPENBLAS_CORETYPE"), "Prescott");
}

TEST(ScopedVariable, RestoresWhatWasThere) {
  const ScopedVariable outer("MILLRACE_TEST_SCOPED", "outer");
  {
    const ScopedVariable inner("MILLRACE_TEST_SCOPED", std::nullopt);
    EXPECT_EQ(std::getenv("MILLRACE_TEST_SCOPED"), nullptr);
  }
  EXPECT_STREQ(std::getenv("MILLRACE_TEST_SCOPED"), "outer");
}

}  // namespace
}  // namespace millrace
