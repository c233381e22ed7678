import { Entity, PrimaryColumn } from 'typeorm';

/**
 * An event that no seal covers yet. Inserted with the event and deleted with its sealing: so it does not matter in which
 * order transactions commit, every event is sealed once.
 */
@Entity('audit_unsealed')
export class UnsealedEvent {
  @PrimaryColumn('varchar', { name: 'event_id' })
  eventId!: string;
}
