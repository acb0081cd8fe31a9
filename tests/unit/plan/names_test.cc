#include "pgrecast/base/error.h"
#include "pgrecast/plan/plan.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pgrecast::plan {
namespace {

constexpr std::size_t kNameBytesMax = 63;

TEST(Names, FitWhateverTheMigrationIsCalled) {
  for (const std::string& name :
       {std::string("orders"), std::string("Orders 2024!"),
        std::string(200, 'x'), std::string("\xc3\xa4\xe2\x82\xac"), "a" + [] {
          std::string umlauts;
          for (int i = 0; i < 50; ++i) umlauts += "\xc3\xa4";
          return umlauts;
        }()}) {
    const Names names = make_names(name, 5);
    std::set<std::string> schemas;
    for (const std::size_t ordinal : {0U, 1U, 2U, 11U}) {
      schemas.insert(names.shadow_schema(ordinal));
      schemas.insert(names.retired_schema(ordinal));
    }
    EXPECT_EQ(schemas.size(), 8U) << "none is used twice";
    for (const std::string& schema : schemas) {
      EXPECT_LE(schema.size(), kNameBytesMax);
      EXPECT_TRUE(schema.starts_with("pgrecast_"));
    }
    EXPECT_LE(names.publication.size(), kNameBytesMax);
    EXPECT_LE(names.slot.size(), kNameBytesMax);
    EXPECT_EQ(
        names.slot.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
        std::string::npos)
        << names.slot;
  }
}

TEST(Names, TellMigrationsAndDatabasesApart) {
  EXPECT_NE(make_names("a", 1).slot, make_names("a", 2).slot);
  EXPECT_NE(make_names("a b", 1).slot, make_names("a_b", 1).slot);
  EXPECT_NE(make_names(std::string(100, 'x') + "1", 1).publication,
            make_names(std::string(100, 'x') + "2", 1).publication);
  EXPECT_EQ(make_names("a", 1).slot, make_names("a", 1).slot);
}

TEST(Names, RefuseWhatIsNoName) {
  EXPECT_THROW(make_names("", 1), UsageError);
  EXPECT_THROW(make_names("\xff", 1), UsageError);
}

}  // namespace
}  // namespace pgrecast::plan
