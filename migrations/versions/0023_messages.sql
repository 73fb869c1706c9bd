-- What is told to members: no text and no number, these are in the vault and in the sealed messages of the exchange.

-- How far the log was read: of the events from from_seq to before next_seq every one has its messages.
create table message_cursors (
  tenant_id int primary key, from_seq bigint not null, next_seq bigint not null, check (next_seq >= from_seq)
);

-- One row an event and occasion, beside the exchange of the same reference, which carries it.
create table messages (
  member_id bigint not null, event_id bigint not null, queued_at timestamptz not null default clock_timestamp(), settled_at timestamptz,
  message_id uuid not null, tenant_id int not null, parts int not null default 0,
  state text not null default 'queued' check (state in ('queued', 'sent', 'refused')),
  occasion text not null, provider_ref text not null default '', currency text not null default '', reason text not null default '',
  cost numeric,
  primary key (tenant_id, message_id), unique (member_id, event_id, occasion),
  foreign key (tenant_id, message_id) references exchanges (tenant_id, reference),
  check ((settled_at is not null) = (state <> 'queued'))
);
create index messages_by_provider on messages (tenant_id, provider_ref) where provider_ref <> '';
create index messages_by_time on messages (tenant_id, queued_at);

-- What reports say became of messages: late, twice, reordered, and before our own answer was stored.
create table message_reports (
  report_id bigint generated always as identity, told_at timestamptz not null default clock_timestamp(),
  tenant_id int not null, provider_ref text not null, reference text not null,
  state text not null check (state in ('under-way', 'failed', 'delivered', 'read')), reason text not null, currency text not null,
  cost numeric,
  primary key (tenant_id, report_id)
);
create index message_reports_by_provider on message_reports (tenant_id, provider_ref);
create index message_reports_by_reference on message_reports (tenant_id, reference) where reference <> '';
