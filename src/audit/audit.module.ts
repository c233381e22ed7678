import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuditEvent } from './audit-event.entity.js';
import { AuditExport } from './audit-export.js';
import { AuditPurge } from './audit-purge.js';
import { AuditSeal } from './audit-seal.entity.js';
import { AuditSealer } from './audit-sealer.js';
import { AuditTrail } from './audit-trail.js';
import { AuditVerifier } from './audit-verifier.js';
import { SealRepository } from './seal.repository.js';
import { UnsealedEvent } from './unsealed-event.entity.js';

@Global()
@Module({
  imports: [TypeOrmModule.forFeature([AuditEvent, AuditSeal, UnsealedEvent])],
  providers: [AuditExport, AuditPurge, AuditSealer, AuditTrail, AuditVerifier, SealRepository],
  exports: [AuditExport, AuditPurge, AuditSealer, AuditTrail, AuditVerifier, SealRepository],
})
export class AuditModule {}
