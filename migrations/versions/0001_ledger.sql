-- The ledger's tables and its poster. Rows are laid out widest first; no nullable column on the money path.

create sequence tenant_numbers as int;
create table tenants (
  tenant_id int primary key default nextval('tenant_numbers'),
  code text not null unique check (code ~ '^[a-z]{2}-[a-z0-9-]{1,40}$'),
  clock_at timestamptz,                                              -- set only where an operator advances the scheme clock
  created_at timestamptz not null default clock_timestamp()
);

create table assets (
  tenant_id int not null, asset_id int not null check (asset_id between 1 and 500000), scale smallint not null,
  symbol text not null, kind text not null check (kind in ('money', 'units')),
  primary key (tenant_id, asset_id), unique (tenant_id, symbol)
);
-- code = asset × 4096 + place; a place of 2048 or more is a member's own account, a lower one a control account.
create table chart (
  tenant_id int not null, code int not null, kind text not null, product text not null default '', pot text not null default '',
  origin text not null default '', fund text not null default '', party text not null default '',
  primary key (tenant_id, code), unique (tenant_id, kind, product, pot, origin, fund, party, code)
);
create table actors (
  tenant_id int not null, actor_id int not null, name text not null,
  primary key (tenant_id, actor_id), unique (tenant_id, name)
);
create table packs (
  tenant_id int not null, pack_id int not null, sha256 text not null, recorded_at timestamptz not null, body jsonb not null default '{}',
  primary key (tenant_id, pack_id), unique (tenant_id, sha256)
);
create table decisions (
  tenant_id int not null, decision_id int not null, digest uuid not null, trace jsonb not null,
  primary key (tenant_id, decision_id), unique (tenant_id, digest)
);

create sequence batch_numbers as int minvalue 0 maxvalue 1023 start 0 cycle;
create function next_batch_id() returns bigint language sql volatile as $$
  -- Milliseconds since 2025 (41 bits), batch number (10), and twelve bits left for the ordinal of an event in its batch.
  select ((extract(epoch from clock_timestamp() - timestamptz '2025-01-01 00:00:00+00') * 1000)::bigint << 22)
       | (nextval('batch_numbers') << 12)
$$;
create function batch_id_of(instant timestamptz) returns bigint language sql immutable as $$
  select (extract(epoch from instant - timestamptz '2025-01-01 00:00:00+00') * 1000)::bigint << 22
$$;

create table events (
  member_id bigint not null, event_id bigint not null, body_digest bigint not null,
  tenant_id int not null, business_date date not null, actor int not null, pack int not null, decision int not null,
  kind smallint not null, body jsonb not null,
  primary key (member_id, event_id)
) partition by range (event_id);
create index events_by_id on events using brin (event_id) with (pages_per_range = 16, autosummarize = on);

create table transfers (
  member_id bigint not null, event_id bigint not null, amount bigint not null check (amount > 0),
  tenant_id int not null, debit int not null, credit int not null, line int not null,
  primary key (member_id, event_id, line),
  check (debit <> credit), check ((debit >> 12) = (credit >> 12))
) partition by range (event_id);
create index transfers_by_id on transfers using brin (event_id) with (pages_per_range = 16, autosummarize = on);

create table claims (digest uuid primary key, event_id bigint not null, tenant_id int not null);

create table balances (
  member_id bigint not null, debits bigint not null, credits bigint not null, tenant_id int not null, code int not null,
  primary key (member_id, code),
  check (debits >= 0 and credits >= debits)                          -- no member's balance goes below zero
) with (fillfactor = 60);

create table control_deltas (
  batch_id bigint not null, debits bigint not null, credits bigint not null, tenant_id int not null, code int not null,
  primary key (tenant_id, batch_id, code)
);
create table control_totals (
  debits bigint not null, credits bigint not null, tenant_id int not null, code int not null,
  primary key (tenant_id, code)
) with (fillfactor = 60);

create table batches (
  tenant_id int not null, n int not null, batch_id bigint not null, recorded_at timestamptz not null,
  primary key (tenant_id, batch_id)
);
create table unsequenced (tenant_id int not null, n int not null, batch_id bigint not null);

create table corrections (
  member_id bigint not null, event_id bigint not null, corrects_member bigint not null, corrects_event bigint not null,
  tenant_id int not null, primary key (member_id, event_id)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% of % is refused: the books are append-only', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $$;

-- Partitions of events and transfers by month of writing, made ahead; the default partition catches what none was made for.
create table events_default partition of events default;
create table transfers_default partition of transfers default;
create function make_partitions(first_month date, months int) returns void language plpgsql as $$
declare m date; part text; parent text;
begin
  for i in 0 .. months - 1 loop
    m := first_month + make_interval(months => i);
    foreach parent in array array['events', 'transfers'] loop
      part := parent || to_char(m, '_YYYYMM');
      if to_regclass(part) is null then
        execute format('create table %I partition of %I for values from (%s) to (%s)', part, parent,
                       batch_id_of(m::timestamp at time zone 'UTC'), batch_id_of((m + interval '1 month') at time zone 'UTC'));
      end if;
    end loop;
  end loop;
  for part in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent in ('events'::regclass, 'transfers'::regclass) loop
    execute format('alter table %I enable row level security', part);
    execute format('alter table %I force row level security', part);
    if not exists (select from pg_policy where polrelid = part::regclass) then
      execute format($p$create policy tenant on %I
        using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::int))
        with check (tenant_id = (select nullif(current_setting('app.tenant', true), '')::int))$p$, part);
    end if;
    if not exists (select from pg_trigger where tgrelid = part::regclass and tgname = 'never_truncated') then
      execute format('create trigger never_truncated before truncate on %I for each statement execute function refuse_change()', part);
    end if;
  end loop;
end $$;

-- The account codes of a tenant, made at first use. Takes the tenant's chart lock, so two callers never make one twice.
create function open_account(t int, asset_symbol text, a_kind text, a_product text, a_pot text, a_origin text, a_fund text, a_party text, is_members boolean)
returns int language plpgsql as $$
declare found int; asset int;
begin
  select asset_id into strict asset from assets where tenant_id = t and symbol = asset_symbol;
  for attempt in 1 .. 2 loop
    select code into found from chart where tenant_id = t and kind = a_kind and product = a_product and pot = a_pot
       and origin = a_origin and fund = a_fund and party = a_party and (code >> 12) = asset;
    if found is not null then return found; end if;
    if attempt = 1 then perform pg_advisory_xact_lock(7001, t); end if;
  end loop;
  select coalesce(max(code), asset * 4096 + case when is_members then 2048 else 0 end) + 1 into found from chart
   where tenant_id = t and (code >> 12) = asset and ((code & 2048) <> 0) = is_members;
  if (found & 2047) = 0 then raise exception 'asset % has no free account code', asset_symbol; end if;
  insert into chart (tenant_id, code, kind, product, pot, origin, fund, party)
       values (t, found, a_kind, a_product, a_pot, a_origin, a_fund, a_party);
  return found;
end $$;

-- Posts a batch: item i (from 0, at most 4,096) is one event, base + i, with its claims and transfers. Answers item -1 with base,
-- and each item that was not posted: outcome 1 claimed before (event_id is the winner's, `code` says how many events hold its
-- claims), 2 refused: it would overdraw the member's account `code`.
-- An item is posted whole or not at all, and never fails its neighbours. Raises 40001 where the caller must run the batch again.
create function post_batch(
  t int, recorded timestamptz, careful boolean,
  members bigint[], digests bigint[], days date[], actors int[], packs int[], decisions int[], kinds smallint[], bodies jsonb[],
  claim_items int[], claim_digests uuid[],
  move_items int[], move_lines int[], move_amounts bigint[], move_debits int[], move_credits int[]
) returns table (item int, outcome smallint, event_id bigint, code int) language plpgsql
  set plan_cache_mode = force_generic_plan as $$                      -- planning the statement anew took longer than running it on few items
#variable_conflict use_column
declare
  base bigint := next_batch_id();
  n int := cardinality(members);
  wanted int := cardinality(claim_digests);
  debits_members boolean := exists (select from unnest(move_debits) d where d & 2048 <> 0);
  out_of int[] := '{}';                                               -- items not posted
  lost int[] := '{}';                                                 -- claimed before
  overdrawn int[] := '{}'; overdrawn_codes int[] := '{}';
  claimed int; bad int; bad_code int;
begin
  if careful or debits_members then
    lost := array(select distinct c.i from unnest(claim_items, claim_digests) c(i, d) join claims on claims.digest = c.d);
    out_of := lost;
  end if;
  if debits_members then
    insert into balances (member_id, code, tenant_id, debits, credits)
      select distinct members[m.i + 1], m.d, t, 0, 0 from unnest(move_items, move_debits) m(i, d) where m.d & 2048 <> 0
       order by 1, 2 on conflict (member_id, code) do nothing;
    -- Same order as everywhere: member, then code.
    perform from balances b where (b.member_id, b.code) in
        (select members[m.i + 1], m.d
           from unnest(move_items, move_debits) m(i, d) where m.d & 2048 <> 0)
      order by b.member_id, b.code for no key update;
    loop
      select r.i, r.c into bad, bad_code from (
        select i, member, c, coalesce((select b.credits - b.debits from balances b where b.member_id = member and b.code = c), 0)
               + sum(moved) over (partition by member, c order by i) as left_over, moved
          from (select i, member, c, sum(moved) as moved
                  from (select m.i, members[m.i + 1] as member, x.c, x.moved
                          from unnest(move_items, move_amounts, move_debits, move_credits) m(i, a, d, k)
                          cross join lateral (values (m.d, -m.a), (m.k, m.a)) x(c, moved)
                         where x.c & 2048 <> 0 and m.i <> all (out_of)) s
                 group by i, member, c) g) r
       where r.left_over < 0 and r.moved < 0 order by r.i limit 1;
      exit when not found;
      overdrawn := overdrawn || bad; overdrawn_codes := overdrawn_codes || bad_code; out_of := out_of || bad;
    end loop;
  end if;

  if wanted > 0 then
    insert into claims (digest, event_id, tenant_id)
      select c.d, base + c.i, t from unnest(claim_items, claim_digests) c(i, d) where c.i <> all (out_of)
       order by c.d on conflict (digest) do nothing;
    get diagnostics claimed = row_count;
    if claimed < (select count(*) from unnest(claim_items) i where i <> all (out_of)) then
      if careful or debits_members then
        raise exception 'a claim was taken while the batch ran' using errcode = 'serialization_failure';
      end if;
      -- The insert waited for the winners, so this second statement sees them.
      lost := array(select distinct c.i from unnest(claim_items, claim_digests) c(i, d)
                      left join claims on claims.digest = c.d and claims.event_id = base + c.i where claims.digest is null);
      if exists (select from unnest(claim_items, claim_digests) c(i, d)
                   join claims on claims.digest = c.d and claims.event_id = base + c.i where c.i = any (lost)) then
        -- One of an item's claims was free and another taken: claims cannot be given back, so the batch runs again carefully.
        raise exception 'an item is claimed in part' using errcode = 'serialization_failure', detail = 'careful';
      end if;
      out_of := lost;
    end if;
  end if;

  if n > cardinality(out_of) then
    with accepted as (
      select u.member, u.digest, u.day, u.actor, u.pack, u.decision, u.kind, u.body, (u.o - 1)::int as i
        from unnest(members, digests, days, actors, packs, decisions, kinds, bodies)
             with ordinality u(member, digest, day, actor, pack, decision, kind, body, o)
       where (u.o - 1)::int <> all (out_of)),
    facts as (
      insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
      select member, base + i, digest, t, day, actor, pack, decision, kind, body from accepted),
    moves as materialized (
      select m.i, m.line, m.a, m.d, m.k, members[m.i + 1] as member
        from unnest(move_items, move_lines, move_amounts, move_debits, move_credits) m(i, line, a, d, k)
       where m.i <> all (out_of)),
    written as (
      insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
      select member, base + i, a, t, d, k, line from moves),
    own as materialized (
      select member, code, sum(debits)::bigint as debits, sum(credits)::bigint as credits from (
        select member, k as code, 0::bigint as debits, a as credits from moves where k & 2048 <> 0
        union all select member, d, a, 0::bigint from moves where d & 2048 <> 0) sides
       group by member, code),
    debited as (                                                      -- locked above; an upsert would test the CHECK on the delta
      update balances b set debits = b.debits + own.debits, credits = b.credits + own.credits from own
       where b.member_id = own.member and b.code = own.code and own.debits > 0),
    credited as (
      insert into balances as b (member_id, code, tenant_id, debits, credits)
      select member, code, t, 0, credits from own where debits = 0 order by member, code
      on conflict (member_id, code) do update set credits = b.credits + excluded.credits),
    control as (
      insert into control_deltas (tenant_id, batch_id, code, debits, credits)
      select t, base, code, sum(debits), sum(credits) from (
        select d as code, a as debits, 0::bigint as credits from moves where d & 2048 = 0
        union all select k, 0::bigint, a from moves where k & 2048 = 0) sides
       group by code),
    batch as (
      insert into batches (tenant_id, batch_id, n, recorded_at) select t, base, n - cardinality(out_of), recorded)
    insert into unsequenced (tenant_id, batch_id, n) select t, base, n - cardinality(out_of);
  end if;

  return query
    select -1, 0::smallint, base, 0
    union all
    select c.i, 1::smallint, min(claims.event_id), count(distinct claims.event_id)::int
      from unnest(claim_items, claim_digests) c(i, d) join claims on claims.digest = c.d
     where c.i = any (lost) group by c.i
    union all
    select o.i, 2::smallint, 0::bigint, o.c from unnest(overdrawn, overdrawn_codes) o(i, c);
end $$;

-- Moves what the deltas hold into the totals in one statement; runs under a lock as the only role that may delete deltas.
create function roll_up_controls(t int) returns bigint language sql as $$
  with locked as materialized (select pg_advisory_xact_lock(7002, t)),
  gone as (delete from control_deltas using locked where tenant_id = t returning code, debits, credits),
  kept as (insert into control_totals as c (tenant_id, code, debits, credits)
           select t, code, sum(debits), sum(credits) from gone group by code order by code
           on conflict (tenant_id, code) do update set debits = c.debits + excluded.debits, credits = c.credits + excluded.credits)
  select count(*) from gone
$$;
