// What the row type of a table has of its own: grants and comments, which take
// no lock on the table.

#include "exchange_fixture.h"

namespace pgrecast::exchange {
namespace {

class RowTypesTest : public ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    make_orders();
  }

  std::string of_type() {
    return value(R"sql(
SELECT concat_ws(' ', obj_description(t.oid, 'pg_type'),
                 obj_description(t.typarray, 'pg_type'),
                 (SELECT string_agg(concat_ws(' ', g.grantee::regrole,
                    g.privilege_type, g.is_grantable, g.grantor = t.typowner), ', '
                    ORDER BY g.grantee::regrole::text, g.grantor)
                  FROM aclexplode(COALESCE(t.typacl, acldefault('T', t.typowner))) g
                  WHERE g.grantee <> t.typowner))
FROM pg_type t WHERE t.oid = 'public.orders'::regtype)sql");
  }
};

TEST_F(RowTypesTest, KeepTheirGrantsAndComments) {
  superuser_session().exec(
      fmt::format("GRANT pg_monitor TO \"{}\"", value("SELECT current_user")));
  admin_.exec(R"sql(
REVOKE USAGE ON TYPE orders FROM PUBLIC;
GRANT USAGE ON TYPE orders TO pg_monitor WITH GRANT OPTION;
GRANT USAGE ON SCHEMA public TO pg_monitor;
SET ROLE pg_monitor;
GRANT USAGE ON TYPE orders TO pg_read_all_stats;
RESET ROLE;
COMMENT ON TYPE orders IS 'it''s a row';
COMMENT ON TYPE _orders IS 'rows')sql");
  ExchangeHooks hooks;
  hooks.check = [&](pg::Connection& /*locked*/) {
    admin_.exec(
        "COMMENT ON TYPE orders IS 'of late'; "
        "GRANT USAGE ON TYPE orders TO pg_signal_backend");
  };

  const Attempt done = attempt({table()}, hooks);

  ASSERT_EQ(done.outcome, Attempt::Outcome::kExchanged) << done.reason;
  EXPECT_EQ(of_type(),
            "of late rows pg_monitor USAGE t t, pg_read_all_stats USAGE f f, "
            "pg_signal_backend USAGE f t");
}

TEST_F(RowTypesTest, AreLeftAloneWhereTheyHaveNothingOfTheirOwn) {
  exchange({table()});

  EXPECT_EQ(value("SELECT typacl IS NULL FROM pg_type WHERE oid = "
                  "'public.orders'::regtype"),
            "t");
}

}  // namespace
}  // namespace pgrecast::exchange
