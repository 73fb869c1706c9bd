-- Orders that leave for fund managers, each in one file, and the confirmations that come back.

-- A file of orders of one day and side for one manager, asked to be left in its place by the exchange of `reference`.
-- `requested` until the place has it (`accepted`) or never will (`rejected`), by the event `decided_event`.
create table order_files (
  event_id bigint not null, decided_event bigint not null default 0, made_at timestamptz not null, reference uuid not null,
  tenant_id int not null, file_id int not null, sequence int not null check (sequence > 0), orders int not null check (orders > 0), cut_off_on date not null,
  state text not null default 'requested' check (state in ('requested', 'accepted', 'rejected')),
  side text not null check (side in ('subscribe', 'redeem')), counterparty text not null, message_ref text not null, name text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  primary key (tenant_id, file_id), unique (tenant_id, reference), unique (tenant_id, message_ref),
  check ((state = 'requested') = (decided_event = 0))
);

-- Which order went in which file, by the name the manager knows it by. An order whose file was rejected is released, and may go in another.
create table order_sendings (
  confirmed_event bigint not null default 0, tenant_id int not null, dealing_id int not null, fund_id int not null, file_id int not null,
  is_released boolean not null default false, side text not null check (side in ('subscribe', 'redeem')), reference text not null,
  primary key (tenant_id, file_id, dealing_id, fund_id, side), foreign key (tenant_id, file_id) references order_files,
  foreign key (tenant_id, dealing_id) references dealings, foreign key (tenant_id, fund_id) references funds,
  check (confirmed_event = 0 or not is_released)
);
create unique index an_order_leaves_once on order_sendings (tenant_id, dealing_id, fund_id, side) where not is_released;
create unique index an_order_has_its_name on order_sendings (tenant_id, reference) where not is_released;

-- A file of confirmations as it came. A refused one changes nothing else, and its bytes may come again.
create table confirmation_files (
  file_id bigint generated always as identity, event_id bigint not null default 0, imported_at timestamptz not null, tenant_id int not null, actor int not null,
  state text not null check (state in ('imported', 'refused')), counterparty text not null, name text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), refusal jsonb not null default '{}', raw bytea not null,
  primary key (tenant_id, file_id), unique (tenant_id, sha256)
);

-- What a manager says it did, by its place in its file. `waiting`: its order has no price yet; `part`: the rest is to come;
-- `repeated`: it was said before; `superseded`: said otherwise since; `break`: it cannot stand, for `reason`.
create table confirmations (
  file_id bigint not null, amount bigint not null, fees bigint not null, event_id bigint not null default 0, tenant_id int not null, place int not null, line int not null,
  traded_on date not null, settles_on date, is_partial boolean not null,
  state text not null default 'waiting' check (state in ('waiting', 'part', 'confirmed', 'repeated', 'superseded', 'break')),
  side text not null check (side in ('subscribe', 'redeem')), counterparty text not null, reference text not null, deal_ref text not null, fund text not null,
  currency text not null, reason text not null default '', units numeric not null check (units > 0), price numeric not null check (price > 0),
  primary key (tenant_id, file_id, place), foreign key (tenant_id, file_id) references confirmation_files,
  check ((state = 'break') = (reason <> ''))
);
create index confirmations_of on confirmations (tenant_id, reference);
create index confirmations_by_deal on confirmations (tenant_id, counterparty, deal_ref);
create index confirmations_open on confirmations (tenant_id, file_id) where state in ('waiting', 'part');
create index confirmations_broken on confirmations (tenant_id, file_id) where state = 'break';
