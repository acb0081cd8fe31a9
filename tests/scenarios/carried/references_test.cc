// The classic: users.id and every column that refers to it become bigint, in
// one script and one exchange, while the application writes.

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

namespace pgrecast::test {
namespace {

constexpr int kKilled = 128 + SIGKILL;

// {0}: "" for the tables, "_twin" for their twins, which no migration touches.
constexpr const char* kTables = R"sql(
CREATE TABLE users{0} (
  id int PRIMARY KEY, name text NOT NULL,
  boss int CONSTRAINT boss REFERENCES users{0} ON DELETE SET NULL,
  country int NOT NULL CONSTRAINT country REFERENCES countries);
CREATE TABLE orders{0} (
  id int PRIMARY KEY,
  user_id int NOT NULL CONSTRAINT "by ""whom" REFERENCES users{0}
    ON DELETE CASCADE ON UPDATE CASCADE,
  amount int NOT NULL DEFAULT 0, UNIQUE (id, user_id));
CREATE TABLE items{0} (
  id int PRIMARY KEY, order_id int, user_id int,
  CONSTRAINT of FOREIGN KEY (order_id, user_id) REFERENCES orders{0} (id, user_id)
    MATCH FULL ON DELETE CASCADE ON UPDATE CASCADE
    DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX ON users{0} (boss);
CREATE INDEX ON orders{0} (user_id);
CREATE INDEX ON items{0} (order_id, user_id);
INSERT INTO users{0} SELECT n, 'user ' || n, CASE WHEN n > 1 THEN n / 2 END,
  n % 5 + 1 FROM generate_series(1, 3000) n;
INSERT INTO orders{0} SELECT n, n % 3000 + 1 FROM generate_series(1, 6000) n;
INSERT INTO items{0} SELECT n, n % 6000 + 1, (n % 6000 + 1) % 3000 + 1
  FROM generate_series(1, 6000) n;
)sql";

constexpr const char* kScript = R"sql(
ALTER TABLE users ALTER COLUMN id TYPE bigint, ALTER COLUMN boss TYPE bigint;
ALTER TABLE orders ALTER COLUMN id TYPE bigint, ALTER COLUMN user_id TYPE bigint;
ALTER TABLE items ALTER COLUMN order_id TYPE bigint,
  ALTER COLUMN user_id TYPE bigint;
ALTER TABLE notes ALTER COLUMN user_id TYPE bigint;
)sql";

class ReferencesTest : public Operation {
 protected:
  void SetUp() override {
    session().exec(
        "CREATE TABLE countries (id int PRIMARY KEY); "
        "INSERT INTO countries SELECT generate_series(1, 5)");
    session().exec(fmt::format(kTables, ""));
    session().exec(fmt::format(kTables, "_twin"));
    // notes: for those who try to break the rules. audit: stays as it is. old:
    // NOT VALID, and one row knows why.
    session().exec(R"sql(
CREATE TABLE notes (id bigserial PRIMARY KEY,
  user_id int NOT NULL CONSTRAINT note_by REFERENCES users);
CREATE INDEX ON notes (user_id);
CREATE TABLE audit (user_id bigint NOT NULL, CONSTRAINT who FOREIGN KEY (user_id)
  REFERENCES users ON DELETE CASCADE DEFERRABLE, said int);
INSERT INTO audit VALUES (1, 0);
CREATE TABLE old (user_id bigint);
INSERT INTO old VALUES (-1);
ALTER TABLE old ADD CONSTRAINT unsure FOREIGN KEY (user_id) REFERENCES users
  NOT VALID;
COMMENT ON CONSTRAINT note_by ON notes IS 'whose it is';
ANALYZE)sql");
  }

  // Users, their orders and items, and the same of the twins. Whatever has
  // effects in several rows comes alone, and each row's writers one by one: so
  // they never deadlock with each other, and a statement on a table and its
  // twin meets the same rows.
  static void shop(Session& session, std::mt19937& random) {
    const auto id = static_cast<int>(random() % 3000) + 1;
    const auto fresh = 10'000'000 + static_cast<int>(random() % 1'000'000'000);
    const auto boss = static_cast<int>(random() % 3000) + 1;
    const unsigned what = random() % 8;
    std::string sql = fmt::format(
        "BEGIN; SELECT pg_advisory_xact_lock{}(1); SELECT "
        "pg_advisory_xact_lock(2, {});",
        what < 2 ? "" : "_shared", id);
    for (const char* twin : {"", "_twin"}) {
      switch (what) {
        case 0:
          sql += fmt::format("DELETE FROM users{} WHERE id = {};", twin, id);
          break;
        case 1:
          sql += fmt::format(
              "UPDATE users{} SET id = {} WHERE id = {} AND NOT "
              "EXISTS (SELECT FROM users{} b WHERE boss = {});",
              twin, fresh, id, twin, id);
          break;
        case 2:
          sql += fmt::format(
              "INSERT INTO users{} VALUES ({}, 'new', {}, {}) "
              "ON CONFLICT DO NOTHING;",
              twin, id, id % 2 == 0 ? "NULL" : std::to_string(id / 2 + 1),
              id % 5 + 1);
          break;
        case 3:
        case 4:
          sql += fmt::format("INSERT INTO orders{} VALUES ({}, {});", twin,
                             fresh, id);
          break;
        case 5:
          sql += fmt::format(
              "INSERT INTO items{0} SELECT {1}, id, user_id FROM orders{0} "
              "WHERE id = {2};",
              twin, fresh, id);
          break;
        case 6:
          sql += fmt::format(
              "UPDATE orders{} SET amount = amount + 1 WHERE id "
              "= {};",
              twin, id);
          break;
        default:
          sql += fmt::format("UPDATE users{} SET boss = {} WHERE id = {};",
                             twin, boss, id);
      }
    }
    session.exec(sql + "COMMIT");
  }

  // A parent that comes and goes, and a child that tries to be there without.
  static void come_and_go(Session& session, std::mt19937& random) {
    const auto id = 100'000 + static_cast<int>(random() % 10);
    switch (random() % 4) {
      case 0:
        session.exec(
            fmt::format("INSERT INTO users VALUES ({}, 'x', NULL, 1) "
                        "ON CONFLICT DO NOTHING",
                        id));
        break;
      case 1:
        session.exec(fmt::format("DELETE FROM users WHERE id = {}", id));
        break;
      case 2:
        session.exec(
            fmt::format("INSERT INTO notes (user_id) VALUES ({})", id));
        break;
      default:
        session.exec(fmt::format("DELETE FROM notes WHERE user_id = {}", id));
    }
  }

  // On rows of its own, tables in any order: only locks of tables can make it a
  // deadlock's victim.
  static void any_order(Session& session, int number, std::mt19937& random) {
    std::vector<std::string> statements = {
        fmt::format("UPDATE users SET name = name || '.' WHERE id = {};",
                    200'000 + number),
        fmt::format("UPDATE notes SET user_id = user_id WHERE user_id = {};",
                    200'000 + number),
        fmt::format("UPDATE audit SET said = said + 1 WHERE user_id = {};",
                    200'000 + number),
        fmt::format("UPDATE notes SET id = id WHERE user_id = {};",
                    200'000 + number)};
    std::shuffle(statements.begin(), statements.end(), random);
    session.exec("BEGIN");
    for (const std::string& statement : statements) session.exec(statement);
    session.exec("COMMIT");
  }

  Rows foreign_keys() {
    return session().query_rows(
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), "
        "convalidated, obj_description(oid, 'pg_constraint') "
        "FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text "
        "NOT LIKE '%twin' ORDER BY conrelid::regclass::text, conname");
  }

  static std::string orphans() {
    return "SELECT (SELECT count(*) FROM notes n WHERE NOT EXISTS (SELECT FROM "
           "users u WHERE u.id = n.user_id)) + (SELECT count(*) FROM orders n "
           "WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = n.user_id)) + "
           "(SELECT count(*) FROM items n WHERE NOT EXISTS (SELECT FROM orders "
           "o WHERE o.id = n.order_id AND o.user_id = n.user_id)) + (SELECT "
           "count(*) FROM audit n WHERE NOT EXISTS (SELECT FROM users u WHERE "
           "u.id = n.user_id)) + (SELECT count(*) FROM users n WHERE boss IS "
           "NOT NULL AND NOT EXISTS (SELECT FROM users u WHERE u.id = n.boss))";
  }

  void expect_like_twins(const std::string& columns, const std::string& table) {
    EXPECT_EQ(session().query_rows(fmt::format(
                  "(SELECT 'lost', {0} FROM {1}_twin EXCEPT ALL "
                  "SELECT 'lost', {0} FROM {1} WHERE id NOT BETWEEN 100000 AND "
                  "300000) UNION ALL (SELECT 'surplus', {0} FROM {1} WHERE id "
                  "NOT BETWEEN 100000 AND 300000 EXCEPT ALL SELECT 'surplus', "
                  "{0} FROM {1}_twin) LIMIT 5",
                  columns, table)),
              Rows{});
  }
};

TEST_F(ReferencesTest, AKeyAndAllThatReferToItAreWidenedUnderLoad) {
  const Rows before = foreign_keys();
  constexpr int kInAnyOrder = 4;
  session().exec(fmt::format(
      "INSERT INTO users SELECT 200000 + n, 'x', NULL, 1 FROM "
      "generate_series(0, {0}) n; INSERT INTO audit SELECT 200000 + n, 0 FROM "
      "generate_series(0, {0}) n; INSERT INTO notes (user_id) SELECT 200000 + "
      "n FROM generate_series(0, {0}) n",
      kInAnyOrder));
  Writers shops(dsn());
  shops.add(4, shop);
  Writers rascals(dsn());
  rascals.add(4, come_and_go);
  Writers orderless(dsn());
  for (int i = 0; i < kInAnyOrder; ++i) {
    orderless.add(1, [i](Session& session, std::mt19937& random) {
      any_order(session, i, random);
    });
  }
  ASSERT_TRUE(shops.go_on(50) && rascals.go_on(50) && orderless.go_on(20));

  migrate("bigint", kScript);

  EXPECT_TRUE(shops.go_on(100) && rascals.go_on(100) && orderless.go_on(20));
  shops.stop();
  rascals.stop();
  orderless.stop();
  // 23503: the foreign keys at work. 40P01 would be a deadlock with us.
  for (const Writers* writers : {&shops, &rascals}) {
    const auto refused = writers->refused();
    EXPECT_GT(refused.count("23503"), 0U);
    for (const auto& [state, count] : refused) {
      EXPECT_TRUE(state == "23503" || state == "23505")
          << state << ": " << count;
    }
  }
  for (const auto& [state, count] : orderless.refused()) {
    ADD_FAILURE() << state << ": " << count;
  }
  EXPECT_EQ(session().query_value(orphans()), "0");
  EXPECT_EQ(foreign_keys(), before);
  expect_like_twins("id, name, boss, country", "users");
  expect_like_twins("id, user_id, amount", "orders");
  expect_like_twins("id, order_id, user_id", "items");
  EXPECT_EQ(
      session().query_value(
          "SELECT string_agg(attname || ' ' || attrelid::regclass, ', ' "
          "ORDER BY attrelid::regclass::text, attnum) FROM pg_attribute "
          "WHERE attrelid IN ('users'::regclass, 'orders'::regclass, "
          "'items'::regclass, 'notes'::regclass) AND atttypid = "
          "'bigint'::regtype"),
      "order_id items, user_id items, id notes, user_id notes, id orders, "
      "user_id orders, id users, boss users");
  session().exec(
      "INSERT INTO users VALUES (5000000000, 'far', 5000000000, 1);"
      "INSERT INTO notes (user_id) VALUES (5000000000);"
      "INSERT INTO audit VALUES (5000000000)");

  // The retired tables hold nobody back, now or when they go.
  command("finish", "bigint");
  EXPECT_EQ(foreign_keys(), before);
}

TEST_F(ReferencesTest, WithoutOneOfThemThePlanNamesItAndTheStatement) {
  std::string said;

  const int code = plan("bigint", R"sql(
ALTER TABLE users ALTER COLUMN id TYPE bigint, ALTER COLUMN boss TYPE bigint;
ALTER TABLE orders ALTER COLUMN user_id TYPE bigint;
ALTER TABLE items ALTER COLUMN user_id TYPE bigint;)sql",
                        &said);

  EXPECT_EQ(code, 3);
  EXPECT_NE(said.find("ALTER TABLE public.notes ALTER COLUMN user_id TYPE "
                      "bigint"),
            std::string::npos)
      << said;
}

// However often it is killed: what is validated stays so, and the rest follows.
TEST_F(ReferencesTest, KilledBetweenTwoValidationsItValidatesTheRest) {
  const Rows before = foreign_keys();
  const auto valid = [&] {
    return std::stoi(session().query_value(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND "
        "convalidated AND conrelid::regclass::text NOT LIKE '%twin'"));
  };
  Program killed =
      start("bigint", kScript, {}, {"PGRECAST_STOP_AT=cleanup:afterwards#1"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  EXPECT_EQ(valid(), 1);
  Program again =
      start("bigint", kScript, {}, {"PGRECAST_STOP_AT=cleanup:afterwards#3"});
  ASSERT_EQ(again.wait(), kKilled) << again.output();
  EXPECT_EQ(valid(), 3);

  migrate("bigint", kScript);

  EXPECT_EQ(foreign_keys(), before);
}

// Dropped by somebody, or broken by rows that came past the triggers: neither
// keeps the others from being validated.
TEST_F(ReferencesTest, WhatCannotBeValidatedDoesNotKeepTheOthersFromIt) {
  Program killed =
      start("bigint", kScript, {}, {"PGRECAST_STOP_AT=exchange:after_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();
  session().exec("ALTER TABLE orders DROP CONSTRAINT \"by \"\"whom\"");
  superuser_session().exec(
      "SET session_replication_role = replica; "
      "INSERT INTO notes (user_id) VALUES (-77)");

  Program broken = start("bigint", kScript);

  EXPECT_EQ(broken.wait(), 10) << broken.output();
  EXPECT_NE(broken.output().find("(user_id)=(-77)"), std::string::npos)
      << broken.output();
  EXPECT_EQ(session().query_value(
                "SELECT string_agg(conname, ',' ORDER BY conname) FROM "
                "pg_constraint WHERE contype = 'f' AND NOT convalidated"),
            "note_by,unsure");

  session().exec("DELETE FROM notes WHERE user_id = -77");
  migrate("bigint", kScript);

  EXPECT_EQ(session().query_value(
                "SELECT string_agg(conname, ',') FROM pg_constraint WHERE "
                "contype = 'f' AND NOT convalidated"),
            "unsure");
}

// One by its name, others with their columns; the rest comes along. Both ends
// of some are of the script, and of one the other end is not.
TEST_F(ReferencesTest, ThoseThatTheScriptDropsAreGoneAndNoOthers) {
  const std::string keys =
      "SELECT string_agg(conrelid::regclass || ' ' || conname, ', ' ORDER BY "
      "conrelid::regclass::text, conname) FROM pg_constraint WHERE contype = "
      "'f' AND conrelid::regclass::text !~ '_twin'";
  ASSERT_EQ(session().query_value(keys),
            "audit who, items of, notes note_by, old unsure, orders by "
            "\"whom, users boss, users country");

  migrate("drops", R"sql(
ALTER TABLE users ALTER COLUMN id TYPE bigint, DROP CONSTRAINT boss,
  DROP COLUMN country;
ALTER TABLE orders ALTER COLUMN user_id TYPE bigint;
ALTER TABLE items DROP CONSTRAINT of, DROP COLUMN order_id;
ALTER TABLE notes DROP COLUMN user_id;
)sql");

  EXPECT_EQ(session().query_value(keys),
            "audit who, old unsure, orders by \"whom");
  EXPECT_EQ(session().try_exec("INSERT INTO orders VALUES (-1, -1)"), "23503");
  command("finish", "drops");
}

// The most ordinary of them, one within a table, one between two of the script;
// {0} as above. Users come and go meanwhile, with all that refers to them.
constexpr const char* kAdds = R"sql(
ALTER TABLE orders{0} ADD COLUMN country int REFERENCES countries,
  ADD COLUMN first_of int DEFAULT 1;
UPDATE orders{0} SET country = amount % 5 + 1, first_of = id;
ALTER TABLE orders{0} ADD CONSTRAINT "first of" FOREIGN KEY (first_of)
  REFERENCES orders{0} ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT "first of" ON orders{0} IS 'itself';
ALTER TABLE orders{0} ALTER first_of DROP DEFAULT;
ALTER TABLE users{0} ALTER name TYPE varchar;
ALTER TABLE items{0} ADD COLUMN seller int;
UPDATE items{0} SET seller = user_id;
ALTER TABLE items{0} ADD FOREIGN KEY (seller) REFERENCES users{0}
  ON UPDATE CASCADE ON DELETE CASCADE;
)sql";

TEST_F(ReferencesTest,
       ThoseThatTheScriptAddsAreMadeUnderLoadHoweverOftenKilled) {
  const std::string script = fmt::format(kAdds, "");
  Writers shops(dsn());
  shops.add(4, shop);
  ASSERT_TRUE(shops.go_on(50));

  for (const char* point : {"references:looked#2", "cutover:drained",
                            "exchange:after_commit", "cleanup:afterwards#6"}) {
    Program killed =
        start("adds", script, {}, {std::string("PGRECAST_STOP_AT=") + point});
    ASSERT_EQ(killed.wait(), kKilled) << point << killed.output();
    ASSERT_TRUE(shops.go_on(20));
  }
  migrate("adds", script);

  EXPECT_TRUE(shops.go_on(50));
  shops.stop();
  for (const auto& [state, count] : shops.refused()) {
    EXPECT_TRUE(state == "23503" || state == "23505") << state << ": " << count;
  }
  EXPECT_EQ(session().query_value(orphans()), "0");
  expect_like_twins("id, order_id, user_id", "items");
  expect_like_twins("id, user_id, amount", "orders");
  session().exec(fmt::format(kAdds, "_twin"));
  const auto keys = [&](const std::string& tables) {
    return session().query_rows(
        "SELECT replace(conrelid::regclass::text, '_twin', ''), "
        "replace(conname, '_twin', ''), "
        "replace(pg_get_constraintdef(oid), '_twin', ''), convalidated, "
        "obj_description(oid) FROM pg_constraint WHERE contype = 'f' AND "
        "conrelid::regclass::text ~ ('^(users|orders|items)' || $1 || '$') "
        "ORDER BY 1, 2",
        tables);
  };
  EXPECT_EQ(keys(""), keys("_twin"));
  EXPECT_EQ(keys("").size(), 7U);
  EXPECT_EQ(session().try_exec("UPDATE orders SET country = 77"), "23503");
  command("finish", "adds");
}

// Found on the new table, before anything waits for it: of a table that is not
// of the script, of one that is, and of itself.
TEST_F(ReferencesTest, RowsThatBreakWhatIsAddedAreNamedBeforeTheExchange) {
  session().exec(R"sql(
CREATE TABLE visits (id int PRIMARY KEY, country int, a int, b int, note bigint,
  before int, old int);
INSERT INTO notes (user_id) SELECT n FROM generate_series(1, 50) n;
CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b));
INSERT INTO visits SELECT n, n % 5 + 1, NULL, NULL, n, nullif(n, 1) - 1, -n
  FROM generate_series(1, 50) n;
UPDATE visits SET country = 77 WHERE id = 3;
UPDATE visits SET a = 1 WHERE id = 4;
UPDATE visits SET note = 4000000000 WHERE id = 5;
UPDATE visits SET before = 1000 WHERE id = 6)sql");
  const std::string script = R"sql(
ALTER TABLE notes ADD COLUMN x int;
ALTER TABLE visits ADD FOREIGN KEY (country) REFERENCES countries,
  ADD FOREIGN KEY (a, b) REFERENCES pairs MATCH FULL,
  ADD FOREIGN KEY (note) REFERENCES notes, ALTER before TYPE bigint,
  ADD FOREIGN KEY (before) REFERENCES visits,
  ADD FOREIGN KEY (old) REFERENCES countries NOT VALID;)sql";
  const auto rejects = [&](const std::string& row, const std::string& mend) {
    Program run = start("broken", script);
    EXPECT_EQ(run.wait(), 10) << run.output();
    EXPECT_NE(run.output().find("\n    " + row + "\n"), std::string::npos)
        << run.output();
    EXPECT_EQ(session().query_value("SELECT phase FROM pgrecast.migrations"),
              "verifying");
    session().exec(mend);
  };

  rejects("3: (country)=(77)", "UPDATE visits SET country = NULL WHERE id = 3");
  rejects("4: (a, b)=(1, NULL)",
          "INSERT INTO pairs VALUES (1, 1); UPDATE visits SET "
          "b = 1 WHERE id = 4");
  rejects("5: (note)=(4000000000)", "DELETE FROM visits WHERE id = 5");
  rejects("6: (before)=(1000)", "UPDATE visits SET before = 6 WHERE id > 5");
  migrate("broken", script);

  EXPECT_EQ(session().query_value(
                "SELECT string_agg(conname || ' ' || convalidated, ', ' ORDER "
                "BY conname) FROM pg_constraint WHERE conrelid = "
                "'visits'::regclass AND contype = 'f'"),
            "visits_a_b_fkey true, visits_before_fkey true, "
            "visits_country_fkey true, visits_note_fkey true, visits_old_fkey "
            "false");
}

// What it refers to may go, or break, at any time. The first look is at a shop
// that is gone by then, with its region: that alone must be no reason to end.
TEST_F(ReferencesTest, WhatChangesAroundTheLookEndsClearly) {
  session().exec(
      "CREATE TABLE regions (id int PRIMARY KEY); INSERT INTO regions VALUES "
      "(1), (3); CREATE TABLE shops (id int PRIMARY KEY, region int); INSERT "
      "INTO shops VALUES (1, 1), (3, 3)");
  const std::string script =
      "ALTER TABLE shops ALTER region TYPE bigint, ADD CONSTRAINT lies_in "
      "FOREIGN KEY (region) REFERENCES regions;";
  Program ready = start("shops", script, {"--cutover", "manual"},
                        {"PGRECAST_FREEZE_AT=references:walk#1"});
  ready.wait_until_frozen();
  session().exec(
      "DELETE FROM shops WHERE id = 3; DELETE FROM regions WHERE id = 3");
  ready.signal(SIGCONT);
  ready.wait_for_output("phase changed.*phase=ready");
  session().exec(
      "ALTER TABLE regions DROP CONSTRAINT regions_pkey; INSERT INTO shops "
      "VALUES (2, 2)");
  command("cutover", "shops");

  EXPECT_EQ(ready.wait(), 5) << ready.output();
  EXPECT_NE(ready.output().find("foreign key lies_in of public.shops: "
                                "public.regions has no unique constraint"),
            std::string::npos)
      << ready.output();
  session().exec("ALTER TABLE regions ADD PRIMARY KEY (id)");
  Program exchanged = start("shops", script);
  EXPECT_EQ(exchanged.wait(), 10) << exchanged.output();
  EXPECT_NE(exchanged.output().find("(region)=(2)"), std::string::npos)
      << exchanged.output();

  session().exec("INSERT INTO regions VALUES (2)");
  migrate("shops", script);
  EXPECT_EQ(session().query_value("SELECT convalidated FROM pg_constraint "
                                  "WHERE conname = 'lies_in'"),
            "t");
}

}  // namespace
}  // namespace pgrecast::test
