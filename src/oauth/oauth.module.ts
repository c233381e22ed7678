import { Module } from '@nestjs/common';
import { TokensModule } from '../tokens/tokens.module.js';
import { JwksController } from './jwks.controller.js';

@Module({ imports: [TokensModule], controllers: [JwksController] })
export class OAuthModule {}
