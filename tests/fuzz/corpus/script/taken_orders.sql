ALTER TABLE orders ALTER COLUMN id TYPE bigint, ADD COLUMN region text;
UPDATE orders SET region = region_of(country_code);
ALTER TABLE orders ALTER COLUMN region SET NOT NULL;
CREATE INDEX orders_region_idx ON orders (region);
