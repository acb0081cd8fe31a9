#include "hidden.h"

namespace pgrecast::plan {

void close_schema(pg::Connection& connection, const std::string& schema) {
  const pg::Result granted = connection.exec(
      R"sql(
SELECT DISTINCT pg_catalog.format('REVOKE ALL ON SCHEMA %I FROM %s CASCADE', n.nspname,
         CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE
           pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END)
FROM pg_catalog.pg_namespace n
CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS g
WHERE n.nspname = $1 AND g.grantee <> n.nspowner)sql",
      {schema});
  for (int row = 0; row < granted.rows(); ++row) {
    connection.exec(std::string(granted.text(row, 0)));
  }
}

void hide_rows(pg::Connection& connection, catalog::Oid source,
               const catalog::QualifiedName& shadow) {
  const pg::Result secured = connection.exec(
      "SELECT c.relrowsecurity OR EXISTS (SELECT FROM pg_catalog.pg_seclabel l "
      "WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass "
      "AND l.objoid = c.oid) "
      "FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid",
      {source});
  if (secured.empty() || !secured.boolean(0, 0)) return;
  connection.exec("ALTER TABLE " + shadow.quoted() +
                  " ENABLE ROW LEVEL SECURITY");
}

}  // namespace pgrecast::plan
