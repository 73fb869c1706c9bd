-- Partners are told what became of what they sent and asked for.

-- One endpoint a partner. The address and the secrets are sealed. What the log held before `from_seq` is not told.
create table webhook_endpoints (
  from_seq bigint not null, changed_at timestamptz not null default clock_timestamp(),
  tenant_id int not null, partner_id int not null, version int not null default 1,
  state text not null default 'active' check (state in ('active', 'disabled', 'removed')), document bytea not null,
  primary key (tenant_id, partner_id), foreign key (tenant_id, partner_id) references partners
);

-- How far a tenant's log was read: every event below `seq` has its deliveries.
create table webhook_cursors (seq bigint not null, tenant_id int not null primary key);

-- One row an endpoint and event, stored before it is sent for the first time. Its id is the message's, over all attempts.
create table webhook_deliveries (
  event_id bigint not null, created_at timestamptz not null default clock_timestamp(),
  due_at timestamptz not null default clock_timestamp(), leased_until timestamptz, answered_at timestamptz,
  delivery_id uuid not null default gen_random_uuid(),
  tenant_id int not null, partner_id int not null, lease int not null default 0, attempts int not null default 0,
  state text not null default 'waiting' check (state in ('waiting', 'delivered', 'failed', 'dropped')),
  code text not null default '', body text not null check (octet_length(body) < 20000),
  primary key (tenant_id, delivery_id), constraint one_delivery_an_event unique (tenant_id, partner_id, event_id),
  foreign key (tenant_id, partner_id) references webhook_endpoints
);
create index webhook_deliveries_due on webhook_deliveries (tenant_id, partner_id, due_at) where state = 'waiting';
create index webhook_deliveries_failed on webhook_deliveries (tenant_id, partner_id) where state = 'failed';

-- Which receipt an event has taken back. The index is small: it holds payments that were taken back.
-- squawk-ignore require-concurrent-index-creation
create index reversals_by_event on reversals (tenant_id, reversed_event) where reversed_event <> 0;
