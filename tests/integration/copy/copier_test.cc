#include "integration/refresh/shadow_fixture.h"

#include <gmock/gmock.h>

namespace pgrecast::copy {
namespace {

using CopierTest = test::ShadowFixture;

constexpr const char* kItems = R"sql(
CREATE TABLE items (id int, "k 2" text, v text, PRIMARY KEY (id, "k 2"));
INSERT INTO items SELECT x, 'k' || x, repeat('x', 100) FROM generate_series(1, 2000) AS x)sql";

TEST_F(CopierTest, CopiesEachBlockOnceWhateverTheChunks) {
  begin(kItems, "ALTER TABLE items ALTER v TYPE varchar(200)");
  Chunker chunker(ranges_left(blocks(), {{.first = 3, .end = 5}}),
                  {.decode_bytes_max = 40000});
  std::int64_t rows = copy({.first = 3, .end = 5});

  while (const auto chunk = chunker.next()) {
    const std::int64_t copied = copy(*chunk);
    chunker.took(*chunk, copied, milliseconds(1));
    rows += copied;
  }

  EXPECT_EQ(rows, 2000);
  EXPECT_EQ(chunker.blocks_left(), 0);
  expect_in_step();
}

TEST_F(CopierTest, ChunkThatWasRecordedIsNotCopiedTwice) {
  begin(kItems, "ALTER TABLE items ALTER v TYPE varchar(200)");
  session().exec("CREATE TABLE chunks (first int PRIMARY KEY)");
  const auto copy_once = [&] {
    return copy_chunk(*data_, tables_[0], *guard_, {.first = 0, .end = 4},
                      [](pg::Connection& connection, std::int64_t rows) {
                        EXPECT_GT(rows, 0);
                        connection.exec("INSERT INTO public.chunks VALUES (0)");
                      });
  };
  const std::int64_t rows = copy_once();

  EXPECT_THROW(copy_once(), Error);

  EXPECT_EQ(session().query_value("SELECT count(*) FROM " + shadow()),
            std::to_string(rows));
}

TEST_F(CopierTest, NamesTheRowsThatDoNotFitAndCopiesNothing) {
  begin(kItems, "ALTER TABLE items ALTER v TYPE varchar(120)");
  session().exec(
      "UPDATE items SET v = repeat('y', 121) WHERE id IN (7, 900, 1999)");
  try {
    copy({.first = 0, .end = blocks()});
    FAIL() << "these do not fit";
  } catch (const DataRejected& rejected) {
    EXPECT_THAT(rejected.keys(), testing::UnorderedElementsAre(
                                     "7, k7", "900, k900", "1999, k1999"));
    EXPECT_THAT(rejected.what(), testing::HasSubstr("22001"));
    EXPECT_THAT(rejected.what(), testing::Not(testing::HasSubstr("yyy")));
  }
  EXPECT_FALSE(data_->in_transaction());
  EXPECT_EQ(session().query_value("SELECT count(*) FROM " + shadow()), "0");
}

TEST_F(CopierTest, NamesSomeOfManyRowsThatBreakAConstraint) {
  begin(kItems,
        "ALTER TABLE items ADD CONSTRAINT small CHECK (id < 1000000), ALTER v "
        "SET NOT NULL");
  session().exec("UPDATE items SET id = id + 1000000 WHERE id >= 1000");
  try {
    copy({.first = 0, .end = blocks()});
    FAIL();
  } catch (const DataRejected& rejected) {
    EXPECT_EQ(rejected.keys().size(), 10U);
    EXPECT_THAT(rejected.what(), testing::HasSubstr("small"));
  }
}

TEST_F(CopierTest, CopiesNothingOfASourceThatWasChanged) {
  begin(kItems, "ALTER TABLE items ALTER v TYPE varchar(200)");
  session().exec("VACUUM FULL items");

  EXPECT_THROW(copy({.first = 0, .end = 2}), catalog::FingerprintMismatch);
  EXPECT_EQ(session().query_value("SELECT count(*) FROM " + shadow()), "0");
}

TEST_F(CopierTest, CopiesNothingOnceTheMigrationIsSomebodyElses) {
  begin(kItems, "ALTER TABLE items ALTER v TYPE varchar(200)");
  session().exec(
      "CREATE TABLE owner (epoch int); INSERT INTO owner VALUES (1)");
  guard_.emplace("SELECT FROM public.owner WHERE epoch = 1 FOR SHARE");
  guard_->add_source("public.items", "SELECT true");
  copy({.first = 0, .end = 1});
  session().exec("UPDATE owner SET epoch = 2");

  EXPECT_THROW(copy({.first = 1, .end = 2}), OwnershipLost);
}

}  // namespace
}  // namespace pgrecast::copy
