-- Payments that the bank pays together: by which reference of their sender, a keyed digest as a statement's line has it.
create table batch_receipts (
  member_id bigint not null, event_id bigint not null, digest uuid not null, tenant_id int not null,
  primary key (tenant_id, digest, event_id)
);
