UPDATE t SET a = (SELECT max(b) FROM u) WHERE s.t.c
