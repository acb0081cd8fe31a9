#include "each_kind.h"

namespace pgrecast::exchange {
namespace {

void indexes(std::vector<Kind>& kinds) {
  // indexes: partial, expression, INCLUDE, opclass, collation, DESC/NULLS
  kinds.push_back({.name = "Indexes",
                   .rows = "indexes, with options",
                   .sql = R"sql(
CREATE INDEX plain ON t (v);
CREATE INDEX part ON t (v DESC NULLS LAST, n) INCLUDE (w) WHERE v > 5 AND n < 99;
CREATE INDEX expr ON t (lower(w) text_pattern_ops, (w || v::text) COLLATE "POSIX");
CREATE INDEX "many of them" ON t ((v + n), (v - n) DESC, n NULLS FIRST);
CREATE UNIQUE INDEX only_once ON t (v, w COLLATE "C" varchar_pattern_ops);
CREATE INDEX by_hash ON t USING hash (v);
CREATE INDEX by_brin ON t USING brin (v int4_minmax_multi_ops (values_per_range = 16), n)
  WITH (pages_per_range = 4, autosummarize);
CREATE INDEX whole ON t ((t IS NULL)) WHERE t IS NOT NULL)sql",
                   .scripts = Kind::kNothing | Kind::kSwapped});
  kinds.push_back({.name = "IndexesOfAWidenedColumn",
                   .rows = "indexes, with options",
                   .sql = R"sql(
CREATE INDEX plain ON t (v);
CREATE INDEX part ON t (v DESC NULLS LAST, n) INCLUDE (w) WHERE v > 5 AND n < 99;
CREATE INDEX expr ON t (lower(w) text_pattern_ops, (w || v::text) COLLATE "POSIX");
CREATE INDEX "many of them" ON t ((v + n), (v - n) DESC, n NULLS FIRST);
CREATE UNIQUE INDEX only_once ON t (v, w COLLATE "C" varchar_pattern_ops);
CREATE INDEX by_hash ON t USING hash (v))sql",
                   .scripts = Kind::kWidened});
  // index column statistics target, index reloptions, index tablespace
  kinds.push_back({.name = "SettingsOfIndexes",
                   .rows = "indexes, with options",
                   .sql = R"sql(
CREATE INDEX plain ON t (w) WITH (fillfactor = 55, deduplicate_items = off)
  TABLESPACE space;
CREATE INDEX expr ON t (n, lower(w), (v + 1), abs(v)) TABLESPACE space;
ALTER INDEX expr ALTER COLUMN 2 SET STATISTICS 33;
ALTER INDEX expr ALTER COLUMN 4 SET STATISTICS 0;
CREATE UNIQUE INDEX u ON t (w, n) TABLESPACE space;
ALTER TABLE t ADD CONSTRAINT "in space" UNIQUE (n, w) WITH (fillfactor = 66)
  USING INDEX TABLESPACE space;
ALTER INDEX t_pkey SET (fillfactor = 77);
ALTER INDEX t_pkey SET TABLESPACE space;
COMMENT ON INDEX expr IS 'it''s expr';
COMMENT ON INDEX "in space" IS 'the index behind')sql"});
}

void constraints(std::vector<Kind>& kinds) {
  // PRIMARY KEY, UNIQUE
  kinds.push_back({.name = "PrimaryAndUniqueConstraints",
                   .rows = "primary key",
                   .sql = R"sql(
ALTER TABLE t
  ADD CONSTRAINT "u v" UNIQUE (v) INCLUDE (w),
  ADD CONSTRAINT late UNIQUE (n, v) DEFERRABLE INITIALLY DEFERRED,
  ADD CONSTRAINT later UNIQUE (w, v) DEFERRABLE,
  ADD UNIQUE (v, n);
ALTER TABLE t RENAME CONSTRAINT t_pkey TO "the Key";
CREATE UNIQUE INDEX made_before ON t (n DESC);
COMMENT ON CONSTRAINT "the Key" ON t IS 'key';
COMMENT ON CONSTRAINT late ON t IS 'late';
COMMENT ON INDEX "the Key" IS 'behind the key';
COMMENT ON INDEX late IS 'behind late')sql",
                   .uses = {"INSERT INTO t (id, v, w) VALUES (1, 50, 'x')",
                            "INSERT INTO t (id, v, w) VALUES (50, 1, 'x')",
                            "INSERT INTO t (id, v, w) VALUES (50, 50, 'x')"},
                   .scripts = Kind::kAll});
  kinds.push_back({.name = "AKeyOfSeveralColumnsWithOneThatIsWidened",
                   .rows = "primary key",
                   .sql = R"sql(
ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER id DROP NOT NULL,
  ADD CONSTRAINT k PRIMARY KEY (w, v) INCLUDE (n))sql"});
  kinds.push_back({.name = "UniqueNullsNotDistinct",
                   .rows = "primary key",
                   .sql = R"sql(
ALTER TABLE t ADD CONSTRAINT alike UNIQUE NULLS NOT DISTINCT (v, spare, n);
CREATE UNIQUE INDEX alike_too ON t (w, v) NULLS NOT DISTINCT WHERE id > 3)sql",
                   .uses = {"INSERT INTO t (id) VALUES (60)",
                            "INSERT INTO t (id) VALUES (61)"},
                   .scripts = Kind::kNothing | Kind::kWidened,
                   .since = 15});
  // EXCLUDE; PG18 WITHOUT OVERLAPS
  kinds.push_back(
      {.name = "ExclusionConstraints",
       .rows = "primary key",
       .sql = R"sql(
ALTER TABLE t ADD during int4range,
  ADD CONSTRAINT apart EXCLUDE USING gist (during WITH &&) WHERE (v > 3),
  ADD CONSTRAINT "late too" EXCLUDE USING btree (w WITH =, v WITH =)
    DEFERRABLE INITIALLY DEFERRED,
  ADD CONSTRAINT exprs EXCLUDE USING gist (int4range(id, id + 1) WITH &&)
    WITH (fillfactor = 44);
COMMENT ON CONSTRAINT apart ON t IS 'apart';
UPDATE t SET during = int4range(id, id + 1))sql",
       .uses = {
           "INSERT INTO t (id, v, n, during) VALUES (70, 5, 5, '[5,6]')",
           "INSERT INTO t (id, v, n, during) VALUES (70, 5, 5, '[75,76]')"}});
  kinds.push_back({.name = "TemporalUniqueConstraints",
                   .rows = "primary key|foreign keys out",
                   .sql = R"sql(
ALTER TABLE t ADD r int4range, ADD during int4range,
  ADD CONSTRAINT in_turn UNIQUE (r, during WITHOUT OVERLAPS);
UPDATE t SET r = int4range(id, id, '[]'), during = int4range(v, v + 5);
CREATE TABLE visits (r int4range, during int4range,
  CONSTRAINT temporal FOREIGN KEY (r, PERIOD during)
    REFERENCES t (r, PERIOD during));
INSERT INTO visits VALUES ('[3,3]', '[4,6)');
COMMENT ON CONSTRAINT temporal ON visits IS 'within')sql",
                   .uses = {"DELETE FROM t WHERE id = 3"},
                   .since = 18});
  // CHECK, CHECK NOT VALID
  kinds.push_back(
      {.name = "CheckConstraints",
       .rows = "primary key",
       .sql = R"sql(
ALTER TABLE t
  ADD CONSTRAINT "small v" CHECK (v < 1000 AND v + n < 1000),
  ADD CHECK (v > 0), ADD CHECK (v > 0 OR n > 0),
  ADD CONSTRAINT legacy CHECK (v > 5) NOT VALID,
  ADD CONSTRAINT alone CHECK (length(w) < 100) NO INHERIT,
  ADD CONSTRAINT "whole row" CHECK (t IS NOT NULL OR w IS DISTINCT FROM 'no') ;
COMMENT ON CONSTRAINT "small v" ON t IS 'small';
COMMENT ON CONSTRAINT legacy ON t IS 'it''s old')sql",
       .uses = {"INSERT INTO t (id, v, n, w) VALUES (80, 5, 6, 'x')",
                "INSERT INTO t (id, v, n, w) VALUES (81, 6, 6, 'x')",
                "INSERT INTO t (id, v, n, w) VALUES (82, 6, 6, 'no')",
                "UPDATE t SET spare = 1 WHERE id = 2"},
       .scripts = Kind::kNothing | Kind::kSwapped});
  kinds.push_back({.name = "CheckConstraintsOfAWidenedColumn",
                   .rows = "primary key",
                   .sql = R"sql(
ALTER TABLE t
  ADD CONSTRAINT "small v" CHECK (v < 1000 AND v + n < 1000),
  ADD CHECK (v > 0), ADD CHECK (v > 0 OR n > 0),
  ADD CONSTRAINT legacy CHECK (v > 5) NOT VALID,
  ADD CONSTRAINT alone CHECK (v < 5000) NO INHERIT;
COMMENT ON CONSTRAINT "small v" ON t IS 'small';
COMMENT ON CONSTRAINT legacy ON t IS 'it''s old')sql",
                   .scripts = Kind::kWidened});
  kinds.push_back({.name = "ConstraintsThatAreNotEnforced",
                   .rows = "primary key|foreign keys out",
                   .sql = R"sql(
CREATE TABLE p (id int PRIMARY KEY);
ALTER TABLE t
  ADD CONSTRAINT unenforced CHECK (v < 0) NOT ENFORCED,
  ADD CONSTRAINT fk_unenforced FOREIGN KEY (v) REFERENCES p NOT ENFORCED;
CREATE TABLE c (t int CONSTRAINT from_c REFERENCES t NOT ENFORCED);
INSERT INTO c VALUES (4711);
COMMENT ON CONSTRAINT fk_unenforced ON t IS 'not enforced';
COMMENT ON CONSTRAINT from_c ON c IS 'neither')sql",
                   .since = 18});
  // NOT NULL; PG18 named / NOT VALID
  kinds.push_back(
      {.name = "NotNull",
       .rows = "primary key|columns:",
       .sql = "ALTER TABLE t ALTER v SET NOT NULL, ALTER w SET NOT NULL",
       .uses = {"INSERT INTO t (id, v, n) VALUES (90, 1, 1)"},
       .scripts = Kind::kNothing | Kind::kWidened});
  kinds.push_back({.name = "NamedNotNullConstraints",
                   .rows = "primary key",
                   .sql = R"sql(
INSERT INTO t (id, spare) VALUES (99, 1);
ALTER TABLE t
  ADD CONSTRAINT "v there" NOT NULL v NOT VALID,
  ADD CONSTRAINT "fast there" NOT NULL fast,
  ADD CONSTRAINT alone NOT NULL spare NO INHERIT;
COMMENT ON CONSTRAINT "v there" ON t IS 'from now on';
COMMENT ON CONSTRAINT "fast there" ON t IS 'always';
COMMENT ON CONSTRAINT t_id_not_null ON t IS 'key')sql",
                   .since = 18});
}

void foreign_keys(std::vector<Kind>& kinds) {
  // FK out
  kinds.push_back({.name = "ForeignKeysOut",
                   .rows = "foreign keys out",
                   .sql = R"sql(
CREATE TABLE p (id int PRIMARY KEY, a int, b int, UNIQUE (a, b));
INSERT INTO p SELECT g, g, 100 - g FROM generate_series(1, 20) g;
CREATE TABLE wide (id bigint PRIMARY KEY);
INSERT INTO wide SELECT g FROM generate_series(0, 100) g;
ALTER TABLE t
  ADD CONSTRAINT "plain one" FOREIGN KEY (v) REFERENCES p,
  ADD FOREIGN KEY (v) REFERENCES wide,
  ADD CONSTRAINT cascade FOREIGN KEY (id) REFERENCES p
    ON DELETE CASCADE ON UPDATE CASCADE,
  ADD CONSTRAINT full_pair FOREIGN KEY (v, n) REFERENCES p (a, b) MATCH FULL
    ON DELETE RESTRICT ON UPDATE SET NULL DEFERRABLE,
  ADD CONSTRAINT late FOREIGN KEY (n) REFERENCES wide
    ON DELETE SET DEFAULT ON UPDATE SET DEFAULT DEFERRABLE INITIALLY DEFERRED,
  ADD CONSTRAINT legacy FOREIGN KEY (fast, n) REFERENCES p (a, b) NOT VALID,
  ADD CONSTRAINT self FOREIGN KEY (v) REFERENCES t ON DELETE SET NULL,
  ADD CONSTRAINT self_late FOREIGN KEY (fast) REFERENCES t (id)
    DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT "plain one" ON t IS 'plain';
COMMENT ON CONSTRAINT legacy ON t IS 'it''s old';
COMMENT ON CONSTRAINT self ON t IS 'self')sql",
                   .uses = {"DELETE FROM p WHERE id = 3",
                            "INSERT INTO t VALUES (21, 21, 21, 0, 'x', 3)",
                            "DELETE FROM t WHERE id = 7",
                            "UPDATE t SET fast = 900 WHERE id = 4"}});
  kinds.push_back(
      {.name = "ForeignKeysThatSetSomeColumns",
       .rows = "foreign keys out",
       .sql = R"sql(
CREATE TABLE p (a int, b int, UNIQUE (a, b));
INSERT INTO p SELECT g, 100 - g FROM generate_series(1, 20) g;
ALTER TABLE t
  ADD CONSTRAINT one_of_two FOREIGN KEY (v, n) REFERENCES p (a, b)
    ON DELETE SET NULL (n);
CREATE TABLE c (x int, y text, CONSTRAINT in_part FOREIGN KEY (x) REFERENCES t
  ON DELETE SET DEFAULT (x));
INSERT INTO c VALUES (5, 'x'))sql",
       .uses = {"DELETE FROM p WHERE a = 3", "DELETE FROM t WHERE id = 5"},
       .since = 15});
  // FK in
  kinds.push_back({.name = "ForeignKeysIn",
                   .rows = "foreign keys out",
                   .sql = R"sql(
ALTER TABLE t ADD CONSTRAINT "u v" UNIQUE (v), ADD UNIQUE (n, v);
CREATE TABLE c (id int PRIMARY KEY, x bigint, y int,
  CONSTRAINT "to t" FOREIGN KEY (x) REFERENCES t
    ON DELETE CASCADE ON UPDATE SET NULL,
  CONSTRAINT to_v FOREIGN KEY (x) REFERENCES t (v) ON DELETE SET DEFAULT
    DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT pair FOREIGN KEY (y, x) REFERENCES t (n, v) MATCH FULL
    ON UPDATE CASCADE);
INSERT INTO c SELECT g, g, 100 - g FROM generate_series(1, 20) g;
CREATE TABLE legacy (x int);
INSERT INTO legacy VALUES (4711);
ALTER TABLE legacy ADD CONSTRAINT unsure FOREIGN KEY (x) REFERENCES t NOT VALID;
COMMENT ON CONSTRAINT "to t" ON c IS 'in';
COMMENT ON CONSTRAINT unsure ON legacy IS 'it''s unsure')sql",
                   .uses = {"DELETE FROM t WHERE id = 3",
                            "INSERT INTO legacy VALUES (4712)",
                            "UPDATE t SET id = 400 WHERE id = 4",
                            "INSERT INTO c VALUES (90, 4000, 5)"},
                   .scripts = Kind::kAll});
}

void sequences(std::vector<Kind>& kinds) {
  // serial / OWNED BY sequences; other sequences OWNED BY a column
  kinds.push_back({.name = "OwnedSequences",
                   .rows = "sequences:",
                   .sql = R"sql(
CREATE SEQUENCE v_seq INCREMENT -3 MAXVALUE 500 MINVALUE -500 START 7 CYCLE
  CACHE 4 OWNED BY t.v;
CREATE SEQUENCE small AS smallint OWNED BY t.n;
CREATE SEQUENCE shared OWNED BY t.fast;
CREATE SEQUENCE "of No default" OWNED BY t.w;
CREATE SEQUENCE of_nobody;
ALTER TABLE t ALTER v SET DEFAULT nextval('v_seq'),
  ALTER n SET DEFAULT nextval('small') * 2,
  ALTER fast SET DEFAULT nextval('shared'),
  ALTER w SET DEFAULT 'w' || nextval('shared'),
  ADD free int DEFAULT nextval('of_nobody'),
  ADD se serial, ADD bs bigserial;
ALTER SEQUENCE t_se_seq RENAME TO "Renamed seq";
CREATE TABLE o (x int DEFAULT nextval('shared'), y int DEFAULT nextval('v_seq'));
CREATE VIEW nexts AS SELECT nextval('shared') AS n;
CREATE FUNCTION next_of(x bigint DEFAULT nextval('shared')) RETURNS bigint
  LANGUAGE sql AS 'SELECT x';
SELECT setval('small', 77); SELECT nextval('v_seq');
GRANT USAGE ON SEQUENCE small TO reader WITH GRANT OPTION;
GRANT SELECT, UPDATE ON SEQUENCE shared TO PUBLIC;
SET ROLE reader; GRANT USAGE ON SEQUENCE small TO second; SET ROLE @owner@;
COMMENT ON SEQUENCE shared IS 'it''s shared')sql",
                   .uses = {"INSERT INTO t (id) VALUES (30), (31)",
                            "INSERT INTO o DEFAULT VALUES"},
                   .scripts = Kind::kAll});
  kinds.push_back({.name = "UnloggedSequences",
                   .rows = "sequences:",
                   .sql = R"sql(
CREATE UNLOGGED SEQUENCE loose OWNED BY t.v;
ALTER TABLE t ALTER v SET DEFAULT nextval('loose'),
  ADD i int GENERATED ALWAYS AS IDENTITY, ADD j int GENERATED ALWAYS AS IDENTITY;
ALTER SEQUENCE t_i_seq SET UNLOGGED)sql",
                   .uses = {"INSERT INTO t (id) VALUES (30), (31)"},
                   .scripts = Kind::kNothing | Kind::kWidened,
                   .since = 15});
  // identity
  kinds.push_back({.name = "Identities",
                   .rows = "sequences:",
                   .sql = R"sql(
ALTER TABLE t
  ADD down int GENERATED ALWAYS AS IDENTITY (INCREMENT BY -7 START 3
    MINVALUE -40 MAXVALUE 100 CYCLE CACHE 5),
  ADD small smallint GENERATED BY DEFAULT AS IDENTITY
    (SEQUENCE NAME s."Own name" START WITH 30 MAXVALUE 31000),
  ADD big bigint GENERATED ALWAYS AS IDENTITY,
  ADD typed int GENERATED ALWAYS AS IDENTITY,
  ALTER n SET NOT NULL, ALTER n ADD GENERATED BY DEFAULT AS IDENTITY;
ALTER SEQUENCE t_typed_seq AS bigint;
ALTER SEQUENCE t_typed_seq MAXVALUE 99999999999;
SELECT setval('t_n_seq', 500);
INSERT INTO t (id) VALUES (40), (41);
GRANT USAGE, UPDATE ON SEQUENCE "Own name" TO reader WITH GRANT OPTION;
GRANT SELECT ON SEQUENCE t_down_seq TO PUBLIC;
SET ROLE reader; GRANT USAGE ON SEQUENCE "Own name" TO second; SET ROLE @owner@;
COMMENT ON SEQUENCE "Own name" IS 'own';
COMMENT ON COLUMN t.down IS 'down')sql",
                   .uses = {"INSERT INTO t (id) VALUES (50), (51)",
                            "INSERT INTO t (id, down) VALUES (52, 1)"}});
  kinds.push_back({.name = "AnIdentityOfAWidenedColumn",
                   .rows = "sequences:",
                   .sql = R"sql(
ALTER TABLE t ALTER v SET NOT NULL,
  ALTER v ADD GENERATED BY DEFAULT AS IDENTITY (START 100 CACHE 3);
COMMENT ON SEQUENCE t_v_seq IS 'of v';
GRANT USAGE ON SEQUENCE t_v_seq TO reader;
SELECT nextval('t_v_seq'))sql",
                   .uses = {"INSERT INTO t (id) VALUES (50), (51)"}});
}

void columns(std::vector<Kind>& kinds) {
  // defaults, generated STORED / VIRTUAL
  kinds.push_back({.name = "Defaults",
                   .rows = "columns:",
                   .sql = R"sql(
ALTER TABLE t ALTER v SET DEFAULT 5 + 2, ALTER w SET DEFAULT E'it''s \\ w',
  ALTER n SET DEFAULT length(current_user), ALTER fast DROP DEFAULT,
  ADD at timestamptz DEFAULT '2024-01-01 00:00+00',
  ADD arr int[] DEFAULT ARRAY[1, NULL, 3],
  ADD today date DEFAULT current_date,
  ADD none text DEFAULT NULL)sql",
                   .uses = {"INSERT INTO t (id) VALUES (50)"}});
  kinds.push_back({.name = "GeneratedColumns",
                   .rows = "columns:",
                   .sql = R"sql(
ALTER TABLE t ADD g1 bigint GENERATED ALWAYS AS (v + n) STORED,
  ADD g2 text GENERATED ALWAYS AS (upper(w) || v) STORED NOT NULL,
  ADD CONSTRAINT of_g CHECK (g1 < 1000);
CREATE INDEX of_g1 ON t (g1) WHERE g1 > 5;
CREATE STATISTICS of_g2 ON g1, w FROM t;
COMMENT ON COLUMN t.g1 IS 'sum')sql",
                   .uses = {"UPDATE t SET v = 3 WHERE id = 4"},
                   .scripts = Kind::kNothing | Kind::kSwapped});
  kinds.push_back({.name = "VirtualColumns",
                   .rows = "columns:",
                   .sql = R"sql(
ALTER TABLE t ADD g1 bigint GENERATED ALWAYS AS (v + n),
  ADD g2 text GENERATED ALWAYS AS (upper(w) || v) VIRTUAL,
  ADD g3 bigint GENERATED ALWAYS AS (n * 2) STORED;
CREATE VIEW of_g AS SELECT id, g1, g3 FROM t;
COMMENT ON COLUMN t.g1 IS 'sum')sql",
                   .uses = {"UPDATE t SET v = 3 WHERE id = 4"},
                   .scripts = Kind::kNothing | Kind::kSwapped,
                   .since = 18});
  // fast-default columns, dropped columns: kTable has them
  kinds.push_back({.name = "TypesOfColumns",
                   .rows = "columns:",
                   .sql = R"sql(
CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
CREATE DOMAIN pos AS int CHECK (VALUE > 0) DEFAULT 7;
CREATE DOMAIN small_pos AS pos CONSTRAINT small CHECK (VALUE < 5000) NOT NULL;
CREATE TYPE pair AS (a int, b text);
CREATE TYPE ranged AS RANGE (subtype = float8);
CREATE DOMAIN pairs AS pair[];
ALTER TABLE t ADD m mood DEFAULT 'sad', ADD ms mood[] DEFAULT '{sad}',
  ADD p pos, ADD sp small_pos DEFAULT 3, ADD c pair DEFAULT '(1,x)',
  ADD cs pairs, ADD r ranged, ADD rs int4multirange, ADD matrix int[][],
  ADD ch char(3) COLLATE "C", ADD vc varchar(9), ADD nu numeric(7, 2),
  ADD ti time(2) with time zone, ADD iv interval day to second(3),
  ADD b bit(5), ADD vb bit varying, ADD j json, ADD x xml, ADD h "char";
ALTER TABLE t DROP m, ADD m2 mood;
UPDATE t SET c = (id, w), cs = ARRAY[(id, 'y')::pair], r = '[1,2)',
  matrix = '{{1,2},{3,4}}', nu = 12345, b = B'10101', iv = '1 day 2.3456 s';
CREATE INDEX of_composite ON t (((c).a), ((c).b));
ALTER TABLE t ADD CHECK ((c).a > 0))sql",
                   .scripts = Kind::kNothing | Kind::kSwapped});
  // column stats target, n_distinct options; STORAGE, COMPRESSION
  kinds.push_back({.name = "SettingsOfColumns",
                   .rows = "columns:",
                   .sql = R"sql(
ALTER TABLE t ALTER v SET STATISTICS 77, ALTER n SET STATISTICS 0,
  ALTER v SET (n_distinct = -0.5, n_distinct_inherited = 7),
  ALTER w SET (n_distinct_inherited = -1),
  ALTER w SET STORAGE EXTERNAL, ALTER w SET COMPRESSION pglz,
  ADD doc jsonb, ALTER doc SET STORAGE MAIN, ADD a int[],
  ALTER a SET STORAGE PLAIN, ADD x text COMPRESSION pglz)sql",
                   .scripts = Kind::kWidened | Kind::kSwapped});
}

void options(std::vector<Kind>& kinds) {
  // reloptions and toast.*
  kinds.push_back({.name = "Options",
                   .rows = "table options",
                   .sql = R"sql(
ALTER TABLE t SET (autovacuum_enabled = off, parallel_workers = 3,
  toast_tuple_target = 500, vacuum_truncate = false, vacuum_index_cleanup = auto,
  log_autovacuum_min_duration = 77,
  autovacuum_vacuum_scale_factor = 0.3, autovacuum_freeze_max_age = 300000000,
  toast.autovacuum_enabled = off, toast.vacuum_truncate = true,
  toast.autovacuum_vacuum_threshold = 99))sql",
                   .scripts = Kind::kNothing | Kind::kWidened});
  // tablespace, access method
  kinds.push_back({.name = "TablespaceAndAccessMethod",
                   .rows = "table options",
                   .sql = R"sql(
DROP TABLE t;
CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE space, v int, n int,
  spare int, w text UNIQUE) USING heap2 TABLESPACE space;
INSERT INTO t SELECT g, g, -g, 0, 'w' || g FROM generate_series(1, 9) g)sql",
                   .scripts = Kind::kNothing | Kind::kWidened});
  // replica identity
  kinds.push_back({.name = "ReplicaIdentityFull",
                   .rows = "table options",
                   .sql = "ALTER TABLE t REPLICA IDENTITY FULL",
                   .scripts = Kind::kNothing | Kind::kWidened});
  kinds.push_back({.name = "ReplicaIdentityAndClusterMark",
                   .rows = "table options",
                   .sql = R"sql(
CREATE UNIQUE INDEX "the Identity" ON t (id);
ALTER TABLE t REPLICA IDENTITY USING INDEX "the Identity";
CREATE INDEX by_v ON t (v, w);
ALTER TABLE t CLUSTER ON by_v)sql"});
  kinds.push_back({.name = "MarksOnTheKey",
                   .rows = "table options",
                   .sql = R"sql(
ALTER TABLE t REPLICA IDENTITY USING INDEX t_pkey;
ALTER TABLE t CLUSTER ON t_pkey)sql",
                   .scripts = Kind::kNothing | Kind::kWidened});
}

void actions(std::vector<Kind>& kinds) {
  // triggers: timing, WHEN, transition tables, constraint/deferred, tgenabled
  kinds.push_back({.name = "Triggers",
                   .rows = "triggers, with",
                   .sql = R"sql(
CREATE TABLE log (what text, v text);
CREATE TABLE o (id int PRIMARY KEY);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO s.log VALUES (TG_NAME || ' ' || COALESCE(TG_ARGV[0], '-'), TG_OP);
  RETURN COALESCE(NEW, OLD); END $$;
CREATE TRIGGER "Update of" BEFORE UPDATE OF v, w ON t FOR EACH ROW
  EXECUTE FUNCTION f('it''s', E'a\\b');
CREATE TRIGGER changed AFTER UPDATE ON t FOR EACH ROW
  WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION f('changed');
CREATE TRIGGER sometimes BEFORE UPDATE OF n ON t FOR EACH ROW
  WHEN (OLD.n <> NEW.n AND NEW.v % 2 = 0) EXECUTE FUNCTION f('sometimes');
CREATE TRIGGER new_rows AFTER INSERT ON t REFERENCING NEW TABLE AS "New rows"
  FOR EACH STATEMENT EXECUTE FUNCTION f('new');
CREATE TRIGGER both_rows AFTER UPDATE ON t
  REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION f('both');
CREATE TRIGGER emptied AFTER TRUNCATE ON t EXECUTE FUNCTION f('emptied');
CREATE TRIGGER many BEFORE INSERT OR DELETE OR UPDATE OF fast ON t
  FOR EACH ROW EXECUTE FUNCTION f('many');
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE OF v ON t FROM o
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.v > 3)
  EXECUTE FUNCTION f('late');
CREATE CONSTRAINT TRIGGER late2 AFTER DELETE ON t DEFERRABLE
  FOR EACH ROW EXECUTE FUNCTION f('late2');
CREATE TRIGGER off AFTER DELETE ON t EXECUTE FUNCTION f('off');
CREATE TRIGGER replica AFTER DELETE ON t EXECUTE FUNCTION f('replica');
CREATE TRIGGER always AFTER DELETE ON t EXECUTE FUNCTION f('always');
CREATE TRIGGER same_as_it BEFORE UPDATE ON t FOR EACH ROW
  EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE t DISABLE TRIGGER off, ENABLE REPLICA TRIGGER replica,
  ENABLE ALWAYS TRIGGER always, ENABLE ALWAYS TRIGGER late2;
COMMENT ON TRIGGER "Update of" ON t IS 'it''s before';
COMMENT ON TRIGGER late ON t IS 'late')sql",
                   .uses = {"UPDATE t SET v = 8 WHERE id = 2",
                            "UPDATE t SET n = 8 WHERE id = 4",
                            "INSERT INTO t (id, v, n) VALUES (50, 50, 50)",
                            "DELETE FROM t WHERE id = 9"},
                   .scripts = Kind::kAll});
  // rules
  kinds.push_back({.name = "Rules",
                   .rows = "rules of the table",
                   .sql = R"sql(
CREATE TABLE log (what text, v text, n int);
CREATE RULE noted AS ON UPDATE TO t WHERE NEW.v <> OLD.v
  DO ALSO INSERT INTO log VALUES ('a; b', NEW.v, OLD.n);
CREATE RULE "Two things" AS ON INSERT TO t DO ALSO (
  INSERT INTO log VALUES ('one', NEW.w, NEW.n);
  INSERT INTO log SELECT 'two', t.w, NEW.v FROM t WHERE t.id = NEW.v);
CREATE RULE row_of_it AS ON DELETE TO t WHERE OLD.id = 5
  DO ALSO INSERT INTO log VALUES ('row', (OLD.*)::text, 1);
CREATE RULE kept AS ON DELETE TO t WHERE OLD.v = 3 DO INSTEAD NOTHING;
CREATE RULE off AS ON DELETE TO t DO INSTEAD NOTHING;
CREATE RULE told AS ON DELETE TO t DO ALSO NOTIFY gone, 'it''s; ';
CREATE RULE replica AS ON UPDATE TO t DO ALSO NOTIFY upd;
ALTER TABLE t DISABLE RULE off;
ALTER TABLE t ENABLE ALWAYS RULE told;
ALTER TABLE t ENABLE REPLICA RULE replica;
COMMENT ON RULE noted ON t IS 'it''s noted';
COMMENT ON RULE off ON t IS 'off')sql",
                   .uses = {"UPDATE t SET v = 8 WHERE id = 2",
                            "INSERT INTO t (id, v, n) VALUES (50, 4, 7)",
                            "DELETE FROM t WHERE id < 6"},
                   .scripts = Kind::kNothing | Kind::kSwapped});
  kinds.push_back({.name = "RulesOfOtherTables",
                   .rows = "rules of other tables",
                   .sql = R"sql(
CREATE TABLE o (x int, y text);
INSERT INTO o VALUES (1, 'x');
CREATE RULE also AS ON INSERT TO o DO ALSO
  INSERT INTO t (id, v, n) VALUES (NEW.x + 100, NEW.x, 5);
CREATE RULE upd AS ON UPDATE TO o WHERE EXISTS (SELECT FROM t WHERE v = NEW.x)
  DO INSTEAD UPDATE t SET w = 'by rule' WHERE t.v = OLD.x;
ALTER TABLE o ENABLE ALWAYS RULE also;
COMMENT ON RULE upd ON o IS 'it''s upd';
CREATE VIEW of_o AS SELECT x FROM o;
CREATE RULE ins AS ON INSERT TO of_o DO INSTEAD UPDATE t SET n = 5 WHERE id = NEW.x;
COMMENT ON RULE ins ON of_o IS 'ins')sql",
                   .uses = {"INSERT INTO o VALUES (4)", "UPDATE o SET x = 4",
                            "INSERT INTO of_o VALUES (7)"}});
}

void rights(std::vector<Kind>& kinds) {
  // policies on t
  kinds.push_back({.name = "PoliciesAndRowSecurity",
                   .rows = "policies of the table",
                   .sql = R"sql(
CREATE TABLE o (x int);
INSERT INTO o VALUES (3), (4);
CREATE POLICY "To all" ON t USING (true);
CREATE POLICY "some" ON t AS RESTRICTIVE FOR SELECT TO reader, second, @owner@
  USING (v > 3 AND n IN (SELECT 100 - x FROM o));
CREATE POLICY ins ON t FOR INSERT TO reader WITH CHECK (v < n);
CREATE POLICY upd ON t FOR UPDATE TO CURRENT_USER, SESSION_USER
  USING (w <> 'w9') WITH CHECK (w IS NOT NULL AND t.* IS DISTINCT FROM NULL);
CREATE POLICY del ON t FOR DELETE TO PUBLIC USING (id > (SELECT min(u.id) FROM t u));
COMMENT ON POLICY "some" ON t IS 'it''s some';
GRANT SELECT, INSERT ON t TO reader; GRANT SELECT ON o TO reader;
ALTER TABLE t ENABLE ROW LEVEL SECURITY)sql",
                   .uses = {"SET ROLE reader; INSERT INTO t (id, v, n) VALUES "
                            "(50, 5, 4)",
                            "SET ROLE reader; INSERT INTO t (id, v, n) VALUES "
                            "(51, 4, 5)"}});
  kinds.push_back({.name = "ForcedRowSecurityWithoutPolicies",
                   .rows = "policies of the table",
                   .sql = "RESET ROLE; ALTER ROLE @owner@ BYPASSRLS; "
                          "ALTER TABLE t FORCE ROW LEVEL SECURITY",
                   .scripts = Kind::kWidened});
  // policies on other tables that query t
  kinds.push_back({.name = "PoliciesOfOtherTables",
                   .rows = "policies of other tables",
                   .sql = R"sql(
CREATE TABLE o (x int PRIMARY KEY, y text);
INSERT INTO o SELECT g, 'y' FROM generate_series(1, 9) g;
CREATE POLICY by_t ON o TO reader, second
  USING (x IN (SELECT v FROM t WHERE w <> 'w3'))
  WITH CHECK (NOT EXISTS (SELECT FROM t WHERE t.v = x));
CREATE POLICY only_check ON o FOR INSERT TO PUBLIC
  WITH CHECK (x > (SELECT min(n) FROM t));
COMMENT ON POLICY by_t ON o IS 'it''s by t';
ALTER TABLE o ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT ALL ON o TO reader; GRANT SELECT ON t TO reader)sql",
                   .uses = {"SET ROLE reader; UPDATE o SET y = 'seen'",
                            "SET ROLE reader; INSERT INTO o VALUES (60)"}});
  // table grants, column grants, WITH GRANT OPTION, grantor
  kinds.push_back({.name = "Grants",
                   .rows = "owner, grants|- grants that another role",
                   .sql = R"sql(
GRANT SELECT, INSERT ON t TO reader WITH GRANT OPTION;
GRANT TRUNCATE, TRIGGER ON t TO PUBLIC;
GRANT ALL ON t TO second;
GRANT UPDATE (v, w), SELECT (n), REFERENCES (id) ON t TO reader WITH GRANT OPTION;
GRANT INSERT (v, n) ON t TO PUBLIC;
SET ROLE reader;
GRANT SELECT ON t TO keeper WITH GRANT OPTION;
GRANT UPDATE (v) ON t TO second, keeper WITH GRANT OPTION;
SET ROLE keeper;
GRANT SELECT ON t TO second;
GRANT UPDATE (v) ON t TO PUBLIC;
SET ROLE @owner@;
REVOKE DELETE, TRUNCATE ON t FROM @owner@;
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC)sql",
                   .scripts = Kind::kAll});
  kinds.push_back({.name = "NoGrantsAtAll",
                   .rows = "owner, grants",
                   .sql = "REVOKE ALL ON t FROM @owner@, PUBLIC; GRANT "
                          "SELECT, INSERT, UPDATE, TRIGGER ON t TO @owner@",
                   .scripts = Kind::kNothing});
  // owner
  kinds.push_back({.name = "AnotherOwner",
                   .rows = "owner, grants",
                   .sql = R"sql(
CREATE SEQUENCE sq OWNED BY t.v;
ALTER TABLE t ADD i int GENERATED ALWAYS AS IDENTITY;
CREATE STATISTICS st ON v, n FROM t;
CREATE VIEW of_owner AS SELECT v FROM t;
ALTER TABLE t OWNER TO keeper;
GRANT SELECT ON t TO @owner@, reader;
GRANT UPDATE (v) ON t TO reader)sql",
                   .scripts = Kind::kNothing | Kind::kWidened});
  // the row type
  kinds.push_back({.name = "RowType",
                   .rows = "grants and comments on the table's row type",
                   .sql = R"sql(
COMMENT ON TYPE t IS 'rows'; COMMENT ON TYPE _t IS 'arrays';
GRANT USAGE ON TYPE t TO @reader@ WITH GRANT OPTION;
REVOKE USAGE ON TYPE t FROM PUBLIC)sql",
                   .scripts = Kind::kWidened});

  // inheritance
  kinds.push_back({.name = "Inheritance",
                   .rows = "inheritance",
                   .sql = R"sql(
CREATE TABLE elder (w text, CONSTRAINT filled CHECK (w <> ''));
CREATE TABLE other (n int, fast int);
ALTER TABLE t ADD CONSTRAINT filled CHECK (w <> '');
ALTER TABLE t INHERIT elder, INHERIT other)sql",
                   .uses = {"INSERT INTO t (id, v, n, w) VALUES (90, 1, 1, '')",
                            "UPDATE elder SET w = 'by the parent'"},
                   .scripts = Kind::kNothing | Kind::kWidened});

  // comments
  kinds.push_back({.name = "Comments",
                   .rows = "comments",
                   .sql = R"sql(
COMMENT ON TABLE t IS E'it''s\n t \\';
COMMENT ON COLUMN t.v IS 'v'; COMMENT ON COLUMN t.n IS E'\\n';
COMMENT ON COLUMN t.id IS '';
COMMENT ON CONSTRAINT t_pkey ON t IS 'constraint';
COMMENT ON INDEX t_pkey IS 'index';
CREATE PUBLICATION pub FOR TABLE t;
COMMENT ON PUBLICATION pub IS 'pub')sql",
                   .scripts = Kind::kNothing | Kind::kSwapped});
}

void statistics(std::vector<Kind>& kinds) {
  // extended statistics
  kinds.push_back({.name = "Statistics",
                   .rows = "extended statistics",
                   .sql = R"sql(
CREATE STATISTICS "two Columns" (ndistinct, mcv) ON v, w FROM t;
CREATE STATISTICS by_default ON n, v, fast FROM t;
CREATE STATISTICS one_expr ON (v % 10) FROM t;
CREATE STATISTICS s2.exprs (mcv, dependencies) ON (v + n), lower(w), n FROM t;
ALTER STATISTICS "two Columns" SET STATISTICS 44;
ALTER STATISTICS s2.exprs SET STATISTICS 0;
COMMENT ON STATISTICS "two Columns" IS 'it''s two';
COMMENT ON STATISTICS s2.exprs IS 'exprs';
ALTER STATISTICS by_default OWNER TO keeper)sql",
                   .made_after_widening = true});
  kinds.push_back({.name = "StatisticsOfOneNameInTwoSchemas",
                   .rows = "extended statistics",
                   .sql = R"sql(
CREATE STATISTICS st ON v, w FROM t;
CREATE STATISTICS s2.st ON n, w FROM t;
COMMENT ON STATISTICS st IS 'in s'; COMMENT ON STATISTICS s2.st IS 'in s2')sql"});
  // publication FOR TABLE (columns, row filter)
  kinds.push_back({.name = "Publications",
                   .rows = "publications of the table",
                   .sql = R"sql(
CREATE TABLE o (id int PRIMARY KEY);
CREATE PUBLICATION "Plain" FOR TABLE o, t;
CREATE PUBLICATION only_new FOR TABLE ONLY t WITH (publish = 'insert');
CREATE PUBLICATION via FOR TABLE t WITH (publish_via_partition_root))sql"});
  kinds.push_back({.name = "PublicationsOfColumnsAndRows",
                   .rows = "publications of the table",
                   .sql = R"sql(
CREATE PUBLICATION cols FOR TABLE t (id, v, w);
CREATE PUBLICATION filtered FOR TABLE t WHERE (v > 5 AND n IS NOT NULL)
  WITH (publish = 'insert');
CREATE PUBLICATION "both" FOR TABLE t (id, n) WHERE (id % 3 = 0 OR w LIKE '%;%')
  WITH (publish = 'insert'))sql",
                   .since = 15});
}

void views(std::vector<Kind>& kinds) {
  // views, nested
  kinds.push_back({.name = "ViewsThatKeepTheirTypes",
                   .rows = "views whose columns keep",
                   .sql = R"sql(
CREATE VIEW plain AS SELECT id, w FROM t WHERE v > 3;
CREATE VIEW "with Options" WITH (security_barrier) AS
  SELECT id AS "The id", w AS v FROM t WHERE n > 50 WITH CASCADED CHECK OPTION;
CREATE VIEW local_check WITH (security_barrier = false, check_option = local) AS
  SELECT id, w FROM plain WHERE w <> '';
CREATE VIEW grouped AS SELECT id, v, n, w FROM t GROUP BY id HAVING count(*) > 0;
ALTER TABLE grouped RENAME COLUMN v TO other_name;
CREATE RECURSIVE VIEW up (id, depth) AS SELECT id, 1 FROM t WHERE v = 1
  UNION ALL SELECT t.id, depth + 1 FROM t, up WHERE t.v = up.id + 1;
CREATE VIEW on_grouped AS SELECT id AS i, w FROM grouped;
CREATE VIEW joined AS SELECT t.id, u.w, x.id AS x FROM t
  JOIN t u USING (id, w) LEFT JOIN plain x ON x.id = t.v AND t.w = x.w;
CREATE VIEW lateral_one AS SELECT t.id, l.w FROM t,
  LATERAL (SELECT u.w FROM t u WHERE u.v = t.n LIMIT 1) l ORDER BY t.n DESC;
ALTER VIEW plain ALTER w SET DEFAULT 'by view';
CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO s.t (id, w) VALUES (NEW.id, NEW.w); RETURN NEW; END $$;
CREATE TRIGGER puts INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION put();
CREATE TRIGGER stmt AFTER UPDATE ON plain EXECUTE FUNCTION put();
CREATE RULE away AS ON DELETE TO grouped DO INSTEAD UPDATE t SET w = 'x' WHERE id = OLD.id;
COMMENT ON VIEW plain IS 'it''s plain'; COMMENT ON COLUMN plain.w IS 'w';
COMMENT ON TRIGGER puts ON joined IS 'puts'; COMMENT ON RULE away ON grouped IS 'away';
COMMENT ON RULE "_RETURN" ON plain IS 'the query';
GRANT SELECT, UPDATE (w) ON plain TO reader WITH GRANT OPTION;
SET ROLE reader; GRANT SELECT ON plain TO second; SET ROLE @owner@;
CREATE VIEW of_keeper AS SELECT w FROM plain; ALTER VIEW of_keeper OWNER TO keeper;
GRANT SELECT ON plain TO keeper)sql",
                   .uses = {"INSERT INTO plain (id) VALUES (50)",
                            "INSERT INTO \"with Options\" VALUES (51, 'x')",
                            "INSERT INTO local_check VALUES (52, '')",
                            "INSERT INTO joined VALUES (53, 'joined')",
                            "DELETE FROM grouped WHERE id = 3"},
                   .scripts = Kind::kNothing | Kind::kSwapped});
  kinds.push_back({.name = "ViewsThatChangeTheirTypes",
                   .rows = "views whose columns change",
                   .sql = R"sql(
CREATE VIEW plain AS SELECT id, v, w FROM t WHERE v > 3;
CREATE VIEW "with Options" WITH (security_barrier) AS
  SELECT id AS "The id", v AS "V" FROM t WHERE n > 50 WITH CASCADED CHECK OPTION;
CREATE VIEW local_check WITH (security_barrier = false, check_option = local) AS
  SELECT id, v FROM plain WHERE v <> 7;
CREATE VIEW grouped AS SELECT * FROM t GROUP BY id;
ALTER TABLE grouped RENAME COLUMN v TO other_name;
CREATE RECURSIVE VIEW up (id, depth) AS SELECT v, 1 FROM t WHERE v = 1
  UNION ALL SELECT t.v, depth + 1 FROM t, up WHERE t.v = up.id + 1;
CREATE VIEW on_grouped AS SELECT id AS i, other_name + 1 AS more FROM grouped;
CREATE VIEW joined AS SELECT t.id, u.v, x.id AS x FROM t
  JOIN t u USING (id, w) LEFT JOIN plain x ON x.id = t.v;
CREATE VIEW counted AS SELECT count(*) AS c, sum(v) AS s, max(v) AS m FROM plain;
ALTER VIEW plain ALTER v SET DEFAULT 12;
CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO s.t (id, v) VALUES (NEW.id, NEW.v); RETURN NEW; END $$;
CREATE TRIGGER puts INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION put();
CREATE TRIGGER stmt AFTER UPDATE ON plain EXECUTE FUNCTION put();
CREATE RULE away AS ON DELETE TO grouped DO INSTEAD
  UPDATE t SET w = 'x' WHERE t.v = OLD.other_name;
COMMENT ON VIEW plain IS 'it''s plain'; COMMENT ON COLUMN plain.v IS 'v';
COMMENT ON TRIGGER puts ON joined IS 'puts'; COMMENT ON RULE away ON grouped IS 'away';
COMMENT ON TRIGGER stmt ON plain IS 'stmt';
GRANT SELECT, UPDATE (v) ON plain TO reader WITH GRANT OPTION;
SET ROLE reader; GRANT SELECT ON plain TO second; SET ROLE @owner@;
REVOKE DELETE ON plain FROM @owner@;
CREATE VIEW of_keeper AS SELECT v FROM plain; ALTER VIEW of_keeper OWNER TO keeper;
GRANT SELECT ON plain TO keeper;
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT ALL ON TABLES TO PUBLIC)sql",
                   .uses = {"INSERT INTO plain (id) VALUES (50)",
                            "INSERT INTO \"with Options\" VALUES (51, 5)",
                            "INSERT INTO local_check VALUES (52, 7)",
                            "INSERT INTO joined VALUES (53, 3)",
                            "DELETE FROM grouped WHERE id = 3"},
                   .scripts = Kind::kWidened});
  kinds.push_back({.name = "CommentsOnTheQueriesOfViews",
                   .rows = "views whose columns change|comments",
                   .sql = R"sql(
CREATE VIEW vw AS SELECT v FROM t;
CREATE VIEW above AS SELECT v FROM vw;
COMMENT ON RULE "_RETURN" ON vw IS 'it''s a query';
COMMENT ON RULE "_RETURN" ON above IS 'above')sql",
                   .scripts = Kind::kAll});
  kinds.push_back({.name = "ReadersByPlace",
                   .rows = "- those that name the table's columns",
                   .sql = R"sql(
CREATE TABLE o (x int);
CREATE VIEW by_place AS SELECT y.b, y.c FROM t AS y(a, b, c);
CREATE VIEW of_join AS SELECT j.p, j.q FROM (t JOIN o ON o.x = t.v) AS j(p, q);
CREATE POLICY by_place ON o USING (x IN (SELECT b FROM t AS y(a, b)));
CREATE RULE by_place AS ON DELETE TO o DO ALSO
  UPDATE t SET fast = b FROM t AS y(a, b) WHERE a = t.id;
CREATE FUNCTION by_place() RETURNS text LANGUAGE sql
  RETURN (SELECT max(c) FROM t AS y(a, b, c)))sql",
                   .uses = {"UPDATE t SET n = by_place()::int WHERE id = 2",
                            "DELETE FROM o"},
                   .scripts = Kind::kNothing | Kind::kWidened});
  kinds.push_back({.name = "ReadersOfItsOid",
                   .rows = "views whose columns keep",
                   .sql = R"sql(
CREATE TABLE o (x int);
CREATE VIEW oids AS SELECT 't'::regclass AS oid;
CREATE VIEW both_ways AS SELECT id FROM t WHERE tableoid = 't'::regclass;
CREATE POLICY oids ON o USING ('t'::regclass IS NOT NULL);
CREATE FUNCTION oids() RETURNS regclass LANGUAGE sql RETURN 't'::regclass;
CREATE MATERIALIZED VIEW oids_kept AS
  SELECT id FROM t WHERE tableoid = 't'::regclass)sql"});
  kinds.push_back({.name = "ViewsThatJoinByName",
                   .rows = "views whose columns keep",
                   .sql = R"sql(
CREATE VIEW by_name AS SELECT v, n, t.w, u.w AS uw FROM t JOIN t u USING (id, v, n);
CREATE VIEW natural_one AS SELECT * FROM (SELECT id, w FROM t) a
  NATURAL JOIN (SELECT id, fast FROM t) b)sql",
                   .scripts = Kind::kNothing | Kind::kWidened});
  kinds.push_back(
      {.name = "ViewsOfWhomeverAsks",
       .rows = "views whose columns keep|views whose columns change",
       .sql = R"sql(
CREATE VIEW keeps WITH (security_invoker) AS SELECT id, w FROM t;
CREATE VIEW changes WITH (security_invoker, security_barrier) AS SELECT v FROM t;
CREATE VIEW above WITH (security_invoker = false) AS SELECT v FROM changes;
GRANT SELECT ON keeps, changes, above TO reader)sql",
       .since = 15});
  // materialized views (+ indexes, populated flag, ACL)
  kinds.push_back({.name = "MaterializedViews",
                   .rows = "materialized views on the table",
                   .sql = R"sql(
CREATE MATERIALIZED VIEW mv USING heap2
  WITH (fillfactor = 80, toast.autovacuum_enabled = off) TABLESPACE space
  AS SELECT id, v, w, v + n AS sum FROM t WHERE v < 15;
CREATE UNIQUE INDEX "mv id" ON mv (id) INCLUDE (w) WITH (fillfactor = 55);
CREATE INDEX lower_w ON mv ((lower(w)) COLLATE "POSIX" DESC) TABLESPACE space
  WHERE v > 5;
ALTER INDEX lower_w ALTER COLUMN 1 SET STATISTICS 33;
ALTER MATERIALIZED VIEW mv ALTER w SET STORAGE EXTERNAL,
  ALTER w SET COMPRESSION pglz, ALTER v SET STATISTICS 66,
  ALTER id SET (n_distinct = -0.25), CLUSTER ON "mv id";
CREATE STATISTICS of_mv (mcv) ON v, w FROM mv;
ALTER STATISTICS of_mv SET STATISTICS 22;
COMMENT ON STATISTICS of_mv IS 'of mv';
COMMENT ON MATERIALIZED VIEW mv IS 'it''s mv';
COMMENT ON COLUMN mv.v IS 'v'; COMMENT ON INDEX lower_w IS 'lower';
COMMENT ON RULE "_RETURN" ON mv IS 'the query';
GRANT SELECT ON mv TO reader WITH GRANT OPTION;
GRANT REFERENCES (v) ON mv TO PUBLIC;
SET ROLE reader; GRANT SELECT ON mv TO second; SET ROLE @owner@;
CREATE MATERIALIZED VIEW above AS SELECT sum(v) FROM mv;
CREATE MATERIALIZED VIEW never AS SELECT id, n FROM t WITH NO DATA;
CREATE VIEW between AS SELECT id, v AS "V" FROM t;
CREATE MATERIALIZED VIEW on_view AS SELECT count(*) AS c, "V" FROM between GROUP BY 2;
CREATE VIEW top AS SELECT * FROM mv NATURAL JOIN on_view;
COMMENT ON VIEW top IS 'top'; GRANT SELECT ON top TO second;
ALTER MATERIALIZED VIEW above OWNER TO keeper; GRANT SELECT ON mv TO keeper)sql",
                   .scripts = Kind::kAll});
}

void functions(std::vector<Kind>& kinds) {
  // BEGIN ATOMIC bodies
  kinds.push_back(
      {.name = "AtomicFunctions",
       .rows = "functions with a body",
       .sql = R"sql(
CREATE FUNCTION total(lowest int DEFAULT 0, VARIADIC more int[] DEFAULT '{}')
  RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE COST 7 SECURITY DEFINER
  STRICT SET work_mem = '8MB'
  BEGIN ATOMIC SELECT max(v) + lowest FROM t WHERE v >= lowest; END;
CREATE FUNCTION lists(OUT a int, INOUT b text) RETURNS SETOF record LANGUAGE sql ROWS 7
  BEGIN ATOMIC SELECT id, w FROM t WHERE w = $1 GROUP BY id; END;
CREATE FUNCTION tab() RETURNS TABLE (x int, "Y" text) LANGUAGE sql
  BEGIN ATOMIC SELECT id, w || v FROM t; END;
CREATE PROCEDURE bump(by int DEFAULT 1) LANGUAGE sql
  BEGIN ATOMIC UPDATE t SET fast = fast + by WHERE v = 3;
    INSERT INTO t (id, v, n) VALUES (77, by, by); END;
CREATE FUNCTION short_form() RETURNS bigint LANGUAGE sql
  RETURN (SELECT count(*) FROM t WHERE n > 90);
CREATE FUNCTION calls() RETURNS bigint LANGUAGE sql RETURN total(3) + 1;
CREATE VIEW of_function AS SELECT total(4) AS x;
COMMENT ON FUNCTION total IS 'it''s total';
REVOKE ALL ON FUNCTION total FROM PUBLIC;
GRANT EXECUTE ON FUNCTION total TO reader WITH GRANT OPTION;
ALTER FUNCTION short_form OWNER TO keeper; GRANT SELECT ON t TO keeper)sql",
       .uses = {"CALL bump(3)", "UPDATE t SET n = total(5) WHERE id = 1",
                "UPDATE t SET n = short_form() WHERE id = 2"},
       .scripts = Kind::kAll});
  // string-body SQL/plpgsql
  kinds.push_back({.name = "FunctionsThatNameTheTableInAText",
                   .rows = "functions with a body",
                   .sql = R"sql(
CREATE FUNCTION by_name() RETURNS bigint LANGUAGE sql
  AS 'SELECT count(*) FROM s.t';
CREATE FUNCTION by_name2() RETURNS bigint LANGUAGE plpgsql
  AS 'BEGIN RETURN (SELECT count(*) FROM s.t); END')sql",
                   .uses = {"UPDATE t SET w = by_name() WHERE id = 1",
                            "UPDATE t SET w = by_name2() WHERE id = 2"},
                   .scripts = Kind::kWidened});
  // event triggers
  kinds.push_back({.name = "EventTriggers",
                   .rows = "event triggers",
                   .sql = R"sql(
RESET ROLE;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql
  AS 'BEGIN PERFORM FROM pg_event_trigger_ddl_commands(); END';
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch())sql",
                   .scripts = Kind::kWidened});
}

std::vector<Kind> made() {
  std::vector<Kind> kinds;
  for (const auto& add :
       {indexes, constraints, foreign_keys, sequences, columns, options,
        actions, rights, statistics, views, functions}) {
    add(kinds);
  }
  return kinds;
}

}  // namespace

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds = made();
  return kKinds;
}

}  // namespace pgrecast::exchange
