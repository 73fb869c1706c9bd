-- What was posted to all members and would come out otherwise by the rules and figures in force: runs of interest, claims of state
-- money, runs of fees. One for each pack version and number of accepted figures; another person lets it be counted again.
create table recounts (
  proposed_event bigint not null default 0, decided_event bigint not null default 0, done_event bigint not null default 0,
  tenant_id int not null, recount_no int not null, pack int not null, accepted int not null, maker int not null, checker int not null default 0,
  state text not null check (state in ('empty', 'proposed', 'superseded', 'rejected', 'approved', 'done')),
  digest text not null default '', items jsonb not null default '[]',
  primary key (tenant_id, recount_no), unique (tenant_id, pack, accepted), check (checker <> maker),
  check ((state in ('empty', 'proposed', 'superseded')) = (checker = 0)), check ((state = 'empty') = (items = '[]'::jsonb))
);
