-- The audit log: the order of events, the tiles of the Merkle tree, the checkpoints that were signed.

-- The events of batch_id have the places first_seq to first_seq + n - 1, in order of their ids.
create table audit_batches (
  first_seq bigint not null check (first_seq >= 0), batch_id bigint not null, tenant_id int not null, n int not null check (n > 0),
  primary key (tenant_id, first_seq), unique (tenant_id, batch_id)
);

-- 256 hashes a tile; a level's last one grows until it is full.
create table audit_tiles (
  tile_index bigint not null, tenant_id int not null, level smallint not null check (level between 0 and 7), hashes bytea not null,
  primary key (tenant_id, level, tile_index), check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0)
);
alter table audit_tiles alter column hashes set storage external;    -- hashes do not compress

create table audit_checkpoints (
  size bigint not null check (size > 0), signed_at timestamptz not null, tenant_id int not null, root bytea not null check (octet_length(root) = 32),
  note text not null, primary key (tenant_id, size)
);
create index audit_checkpoints_by_time on audit_checkpoints (tenant_id, signed_at, size);

create function audit_tile_grows() returns trigger language plpgsql as $$
begin
  if (new.tenant_id, new.level, new.tile_index) is distinct from (old.tenant_id, old.level, old.tile_index)
     or octet_length(new.hashes) <= octet_length(old.hashes)
     or substr(new.hashes, 1, octet_length(old.hashes)) <> old.hashes then
    raise exception 'tile % of level % of the audit log may only grow', old.tile_index, old.level using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger tile_grows before update on audit_tiles for each row execute function audit_tile_grows();
create trigger tile_stays before delete on audit_tiles for each row execute function refuse_change();
create trigger never_truncated before truncate on audit_tiles for each statement execute function refuse_change();

create function audit_checkpoint_is_larger() returns trigger language plpgsql as $$
begin
  if exists (select from audit_checkpoints c where c.tenant_id = new.tenant_id and c.size >= new.size) then
    raise exception 'a checkpoint of % entries is not larger than the last', new.size using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger checkpoint_is_larger before insert on audit_checkpoints for each row execute function audit_checkpoint_is_larger();
