-- The instant of a dealing's cut-off, from its closing on; dealings that were closed before have none.
alter table dealings add column cut_off_at timestamptz;
