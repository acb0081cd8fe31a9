\set x 1
UPDATE t SET a = :x;
